// Checks that Prometheus, Alertmanager and node_exporter work together on a Kubernetes cluster.
//
// It runs as a Job in the release's namespace, and is itself what Alertmanager delivers to: the chart has a Service for
// that. Environment: CROSSCLOUD_NAMESPACE, CROSSCLOUD_RELEASE, CROSSCLOUD_RESULTS (folder for junit.xml), the tags of
// the images under test (PROMETHEUS_TAG, ALERTMANAGER_TAG, NODE_EXPORTER_TAG), CROSSCLOUD_UPGRADE on the way of an
// upgrade, and what Kubernetes tells every pod about Services. Exit code 1: a check failed.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
)

// Where alerts are received; the chart's Service sends its port here.
const receiverAddress = ":9095"

func main() {
	target, err := fromEnvironment(os.Getenv)
	if err != nil {
		fatal(err)
	}
	listener, err := net.Listen("tcp", receiverAddress)
	if err != nil {
		fatal(err)
	}
	go func() { fatal(http.Serve(listener, target.inbox)) }()
	fmt.Printf("Prometheus at %s, Alertmanager at %s, alerts are received at %s\n",
		target.prometheus, target.alertmanager, receiverAddress)
	verify("prometheus", target.answers(patience), slices.Concat(target.checks(), target.kept(), ownTests(ownProgram))...)
}
