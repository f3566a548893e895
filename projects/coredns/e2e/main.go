// Checks that a CoreDNS release on a Kubernetes cluster really answers.
//
// It runs as a Job in the release's namespace. Environment: CROSSCLOUD_NAMESPACE, CROSSCLOUD_RELEASE (name of the
// Service too), CROSSCLOUD_RESULTS (folder for junit.xml, default /results), HOSTS_RECORDS ("name=address", with
// commas), CLUSTER_DOMAIN, and what Kubernetes tells every pod about Services. Exit code 1: a check failed.
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
	fmt.Printf("CoreDNS at %s, cluster domain %s\n", target.dns, target.domain)
	verify("coredns", target.answers(patience), target.checks()...)
}
