// Checks that a Jaeger release on a Kubernetes cluster takes spans and gives them back.
//
// It runs as a Job in the release's namespace. Environment: CROSSCLOUD_RELEASE (name of the Service too),
// CROSSCLOUD_VERSION, CROSSCLOUD_RESULTS (folder for junit.xml), SAMPLING ("service=rate", with commas, * for the
// others), and what Kubernetes tells every pod about Services. Exit code 1: a check failed.
package main

import (
	"fmt"
	"os"
)

func main() {
	target, err := fromEnvironment(os.Getenv)
	if err != nil {
		fatal(err)
	}
	fmt.Printf("Jaeger: queries at %s, spans to %s and %s\n", target.query, target.otlpHTTP, target.otlpGRPC)
	verify("jaeger", target.answers(patience), target.checks()...)
}
