// Checks that a CoreDNS release on a Kubernetes cluster really answers.
//
// It runs as a Job in the release's namespace, in a pod with the DNS settings that every pod has. Environment:
// CROSSCLOUD_NAMESPACE, CROSSCLOUD_RELEASE (name of the Service too), CROSSCLOUD_VERSION, CROSSCLOUD_RESULTS (folder for
// junit.xml, default /results), CLUSTER_DOMAIN, what the chart's values say (HOSTS_RECORDS and MANY_RECORDS as
// "name=value", with commas; STUB_ZONE, HEADLESS_PODS), CLUSTER_DNS (the address that kubelet tells pods, if the release
// has it now) or CLUSTER_DNS_NOT_LENT (why not), and what Kubernetes tells every pod about Services. Exit code 1: a
// check failed.
package main

import (
	"fmt"
	"os"
)

func main() {
	target, err := fromEnvironment(os.Getenv)
	if err == nil {
		target, err = target.here()
	}
	if err != nil {
		fatal(err)
	}
	fmt.Printf("CoreDNS %s at %s, cluster domain %s\n", target.version, target.dns, target.domain)
	verify("coredns", target.answers(patience), target.checks()...)
}
