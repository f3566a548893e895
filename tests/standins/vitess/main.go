// Stands in for vttestserver's image where Docker Hub is out of reach: it has the keyspaces that the chart asks for.
package main

import (
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	port, err := strconv.Atoi(os.Getenv("PORT"))
	if err != nil {
		log.Fatalf("PORT: %v", err)
	}
	keyspaces := map[string]int{}
	counts := strings.Split(os.Getenv("NUM_SHARDS"), ",")
	for place, name := range strings.Split(os.Getenv("KEYSPACES"), ",") {
		if keyspaces[name], err = strconv.Atoi(counts[place]); err != nil {
			log.Fatalf("NUM_SHARDS: %v", err)
		}
	}
	server := &standIn{keyspaces: keyspaces, fault: os.Getenv("STANDIN_FAULT")}
	go func() { log.Fatal(http.ListenAndServe(":"+strconv.Itoa(port), server)) }()
	listener, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("MYSQL_BIND_HOST"), strconv.Itoa(port+3)))
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.serve(listener))
}
