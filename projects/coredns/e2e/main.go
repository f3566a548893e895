// Checks that a CoreDNS release on a Kubernetes cluster really answers.
//
// It runs as a Job in the release's namespace. Environment: CROSSCLOUD_NAMESPACE, CROSSCLOUD_RELEASE (name of the
// Service too), CROSSCLOUD_RESULTS (folder for junit.xml, default /results), HOSTS_RECORDS ("name=address", with
// commas), CLUSTER_DOMAIN, and what Kubernetes tells every pod about Services. Exit code 1: a check failed.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// How long CoreDNS gets for its first answer: the cluster may still be telling nodes about the Service.
const patience = 60 * time.Second

func main() {
	target, err := fromEnvironment(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	results := os.Getenv("CROSSCLOUD_RESULTS")
	if results == "" {
		results = "/results"
	}
	fmt.Printf("CoreDNS at %s, cluster domain %s\n", target.dns, target.domain)
	report := run(target, patience)
	if err := report.write(filepath.Join(results, "junit.xml")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if report.failed() > 0 {
		os.Exit(1)
	}
}

// run waits for the first answer, then makes every check once.
func run(target target, patience time.Duration) *report {
	report := &report{}
	if !report.check("answers at all", func() (string, error) { return target.firstAnswer(patience) }) {
		return report // every other check would only say the same again
	}
	for _, check := range target.checks() {
		report.check(check.name, check.run)
	}
	fmt.Printf("%d checks: %d passed, %d failed\n", len(report.cases), len(report.cases)-report.failed(), report.failed())
	return report
}
