// Command player is an e2e container that does what PLAY says: the tests' stand-in for a project's own.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const report = `<testsuite name="player">
  <testcase name="answers"/>
  <testcase name="reverse lookup"><failure message="no PTR record"/></testcase>
</testsuite>
`

func main() {
	junit := filepath.Join(os.Getenv("CROSSCLOUD_RESULTS"), "junit.xml")
	switch os.Getenv("PLAY") {
	case "environment":
		for _, name := range []string{"NAMESPACE", "RELEASE", "RESULTS", "RUN"} {
			fmt.Println(name, os.Getenv("CROSSCLOUD_"+name))
		}
		if _, err := os.Stat("/var/run/secrets/kubernetes.io"); err == nil {
			fmt.Println("a token is here")
		}
	case "fail":
		write(junit, report)
		os.Exit(1)
	case "no junit":
		os.Exit(7)
	case "broken junit":
		write(junit, "<testsuite><testcase")
	case "hang":
		fmt.Println("waiting for something that never comes")
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
		write(junit, report)
		os.Exit(1)
	case "flood":
		line := strings.Repeat("flood ", 200)
		for number := 0; number < 20_000; number++ { // 24 MB
			fmt.Println(number, line)
		}
		write(junit, report)
		write(filepath.Join(filepath.Dir(junit), "large.bin"), strings.Repeat("x", 5<<20))
	default:
		fmt.Println("player: nothing to play")
		os.Exit(3)
	}
}

func write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		os.Exit(4)
	}
}
