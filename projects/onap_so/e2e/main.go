// Checks that an ONAP Service Orchestrator takes requests for services over its REST API, and tells what becomes of them.
//
// It runs as a Job in the release's namespace. Environment: CROSSCLOUD_RELEASE, CROSSCLOUD_RESULTS (folder for
// junit.xml, default /results), SO_USER and SO_PASSWORD as the chart configures them, and what Kubernetes tells every
// pod about Services. Exit code 1: a check failed.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	target, err := fromEnvironment(os.Getenv)
	if err != nil {
		fatal(err)
	}
	fmt.Printf("SO's API handler at %s\n", target.url)
	verify("onap-so", target.answers(patience), target.checks()...)
}

func fromEnvironment(env environment) (*target, error) {
	address, err := env.service("", "http")
	if err != nil {
		return nil, err
	}
	if env("SO_USER") == "" || env("SO_PASSWORD") == "" {
		return nil, errors.New("SO_USER and SO_PASSWORD must be set")
	}
	return &target{url: "http://" + address, user: env("SO_USER"), password: env("SO_PASSWORD"), patience: recording}, nil
}
