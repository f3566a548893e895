// Checks that a Vitess release is one MySQL database whose rows lie in several.
//
// It runs as a Job in the release's namespace. Environment: CROSSCLOUD_RELEASE, CROSSCLOUD_RESULTS (folder for
// junit.xml, default /results), KEYSPACE and SHARDS ("-80,80-") as the chart configures them, and what Kubernetes tells
// every pod about Services. Exit code 1: a check failed.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

func main() {
	target, err := fromEnvironment(os.Getenv)
	if err != nil {
		fatal(err)
	}
	fmt.Printf("vtgate at %s (MySQL) and %s\n", target.mysql, target.web)
	verify("vitess", target.answers(patience), target.checks()...)
}

func fromEnvironment(env environment) (*target, error) {
	mysql, err := env.service("", "mysql")
	if err != nil {
		return nil, err
	}
	web, err := env.service("", "web")
	if err != nil {
		return nil, err
	}
	if env("KEYSPACE") == "" || env("SHARDS") == "" {
		return nil, errors.New("KEYSPACE and SHARDS must be set")
	}
	return &target{
		mysql:    mysql,
		web:      "http://" + web,
		keyspace: env("KEYSPACE"),
		shards:   strings.Split(env("SHARDS"), ","),
		patience: learning,
	}, nil
}
