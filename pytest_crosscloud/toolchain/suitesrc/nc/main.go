// The netcat that specs call: what it reads goes to an address, and what comes back is printed.
//
//	echo hostName | nc -v -t -w 2 10.96.0.7 80
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	network, wait, onlyProbe := "tcp", 10*time.Second, false
	var address []string
	arguments := os.Args[1:]
	for i := 0; i < len(arguments); i++ {
		argument := arguments[i]
		if !strings.HasPrefix(argument, "-") {
			address = append(address, argument)
			continue
		}
		for _, letter := range argument[1:] {
			switch letter {
			case 'u':
				network = "udp"
			case 'z':
				onlyProbe = true
			case 'w':
				i++
				seconds, err := strconv.Atoi(arguments[min(i, len(arguments)-1)])
				if err != nil {
					fail(err)
				}
				wait = time.Duration(seconds) * time.Second
			case 't', 'v', 'n', 'N':
			default:
				fail(fmt.Errorf("-%c is not known here", letter))
			}
		}
	}
	if len(address) != 2 {
		fail(fmt.Errorf("usage: nc [-t|-u] [-v] [-z] [-w SECONDS] HOST PORT"))
	}
	connection, err := net.DialTimeout(network, net.JoinHostPort(address[0], address[1]), wait)
	if err != nil {
		fail(err)
	}
	fmt.Fprintf(os.Stderr, "Connection to %s %s port [%s/*] succeeded!\n", address[0], address[1], network)
	if onlyProbe {
		return
	}
	go io.Copy(connection, os.Stdin)
	answer := make([]byte, 64<<10)
	for {
		connection.SetReadDeadline(time.Now().Add(wait)) // silence for so long is the end
		n, err := connection.Read(answer)
		os.Stdout.Write(answer[:n])
		if err != nil {
			return
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "nc:", err)
	os.Exit(1)
}
