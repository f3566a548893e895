// Checks that a Fluentd release takes records over HTTP, refuses what is none, and loses nothing on its way out.
//
// Fluentd sends what it gets to the Service RELEASE-receiver, which is this container: it looks at what arrives, and
// once answers that it has no time. It runs as a Job in the release's namespace. Environment: CROSSCLOUD_RELEASE,
// CROSSCLOUD_RESULTS (folder for junit.xml, default /results), LISTEN (default :8080), and what Kubernetes tells every
// pod about Services. Exit code 1: a check failed.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	env := environment(os.Getenv)
	input, err := env.service("", "http")
	if err != nil {
		fatal(err)
	}
	monitor, err := env.service("", "monitor")
	if err != nil {
		fatal(err)
	}
	listener, err := net.Listen("tcp", or(env("LISTEN"), ":8080"))
	if err != nil {
		fatal(err)
	}
	target := target{input: "http://" + input, monitor: "http://" + monitor, receiver: receive(listener), patience: delivery}
	fmt.Printf("Fluentd at %s, its monitor at %s, what it sends at %s\n", input, monitor, listener.Addr())
	verify("fluentd", target.answers(patience), target.checks()...)
}
