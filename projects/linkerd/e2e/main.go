// Checks that a Linkerd destination controller tells proxies where Services are: what each of its proxies asks it.
//
// It runs as a Job in the release's namespace, without a token for the API, and compares what the controller says with
// what is there. Environment: CROSSCLOUD_NAMESPACE, CROSSCLOUD_RELEASE, CROSSCLOUD_RESULTS (folder for junit.xml,
// default /results), CLUSTER_DOMAIN, and what Kubernetes tells every pod about Services. Exit code 1: a check failed.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

func main() {
	target, err := fromEnvironment(os.Getenv)
	if err != nil {
		fatal(err)
	}
	fmt.Printf("destination API at %s, its admin server at %s\n", target.api, target.admin)
	verify("linkerd", target.answers(patience), target.checks()...)
}

func fromEnvironment(env environment) (*target, error) {
	api, err := env.service("", "grpc")
	if err != nil {
		return nil, err
	}
	admin, err := env.service("", "admin")
	if err != nil {
		return nil, err
	}
	namespace := env("CROSSCLOUD_NAMESPACE")
	if namespace == "" {
		return nil, errors.New("CROSSCLOUD_NAMESPACE must be set")
	}
	return &target{
		api:       api,
		admin:     "http://" + admin,
		namespace: namespace,
		service:   env("CROSSCLOUD_RELEASE"),
		domain:    or(env("CLUSTER_DOMAIN"), "cluster.local"),
		patience:  5 * time.Second,
	}, nil
}
