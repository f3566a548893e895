// Checks that a Notary release on a Kubernetes cluster keeps what clients sign, signs what it has to, and refuses the rest.
//
// It runs as a Job in the release's namespace. Environment: CROSSCLOUD_RELEASE (name of the Service too),
// CROSSCLOUD_RESULTS (folder for junit.xml, default /results), of an upgrade CROSSCLOUD_UPGRADE (before, after, back) and
// CROSSCLOUD_NAMESPACE, and what Kubernetes tells every pod about Services.
// Exit code 1: a check failed.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
)

// A target is the release under test.
type target struct {
	server string // URL
	signer string // host:port
	upgrade
	*checked // what one check leaves for the next
}

// An upgrade is one that this program sees a part of.
type upgrade struct {
	stop      string // one of stops; empty: there is no upgrade
	namespace string // whose release it is
}

func main() {
	target, err := fromEnvironment(os.Getenv)
	if err != nil {
		fatal(err)
	}
	fmt.Printf("Notary at %s, its signer at %s\n", target.server, target.signer)
	verify("notary", target.healthy(), target.checks()...)
}

func fromEnvironment(env environment) (target, error) {
	server, err := env.service("", "http")
	if err != nil {
		return target{}, err
	}
	signer, err := env.service("", "signer")
	if err != nil {
		return target{}, err
	}
	stop, err := env.stop()
	if err != nil {
		return target{}, err
	}
	way := upgrade{stop, env("CROSSCLOUD_NAMESPACE")}
	if way.stop != "" && way.namespace == "" {
		return target{}, errors.New("with CROSSCLOUD_UPGRADE, CROSSCLOUD_NAMESPACE must be set")
	}
	return newTarget("http://"+server, signer, way), nil
}

// newTarget has a repository of its own, so that it does not matter what was published before.
func newTarget(server, signer string, way upgrade) target {
	gun := "crosscloud.test/e2e/" + strings.ToLower(rand.Text())
	return target{server, signer, way, &checked{repository: newRepository(server, gun)}}
}
