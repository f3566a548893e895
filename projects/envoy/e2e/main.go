// Checks that an Envoy release on a Kubernetes cluster routes, retries, limits and counts as its configuration says.
//
// It runs as a Job in the release's namespace. Environment: CROSSCLOUD_RELEASE (name of the Service too),
// CROSSCLOUD_RESULTS (folder for junit.xml, default /results), ENVOY_TAG, and what Kubernetes tells every pod about Services.
// The routes are those of the chart's configuration; its values are the defaults. Exit code 1: a check failed.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
)

// A target is the release under test.
type target struct {
	front string // host:port of the proxy
	admin string // host:port of its admin API
	tag   string // of the image under test, e.g. v1.40.0
	run   string // part of the keys by which the backends count, so that a second run starts at 0
}

func main() {
	target, err := fromEnvironment(os.Getenv)
	if err != nil {
		fatal(err)
	}
	fmt.Printf("Envoy at %s, its admin API at %s\n", target.front, target.admin)
	verify("envoy", target.ready(), target.checks()...)
}

func fromEnvironment(env environment) (target, error) {
	front, err := env.service("", "http")
	if err != nil {
		return target{}, err
	}
	admin, err := env.service("", "admin")
	if err != nil {
		return target{}, err
	}
	if env("ENVOY_TAG") == "" {
		return target{}, errors.New("ENVOY_TAG must be set")
	}
	return target{front, admin, env("ENVOY_TAG"), rand.Text()}, nil
}
