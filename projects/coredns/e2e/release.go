package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// A target is the release under test, and what it must know.
type target struct {
	dns        string // host:port
	metrics    string // host:port
	domain     string // the cluster's, e.g. cluster.local
	namespace  string
	service    string     // the release's own Service
	address    netip.Addr // its cluster address
	kubernetes netip.Addr // of the Service kubernetes in the namespace default
	hosts      []record
}

type record struct {
	name    string
	address netip.Addr
}

// fromEnvironment reads the target. The addresses come from the variables that Kubernetes gives to every pod about
// the Services of its namespace, so that no DNS is needed to find the DNS.
func fromEnvironment(env environment) (target, error) {
	if env("CROSSCLOUD_NAMESPACE") == "" {
		return target{}, errors.New("CROSSCLOUD_NAMESPACE must be set")
	}
	service, err := env.service("", "dns")
	if err != nil {
		return target{}, err
	}
	metrics, err := env.service("", "metrics")
	if err != nil {
		return target{}, err
	}
	server, err := netip.ParseAddrPort(service)
	if err != nil {
		return target{}, err
	}
	kubernetes, err := netip.ParseAddr(env("KUBERNETES_SERVICE_HOST"))
	if err != nil {
		return target{}, fmt.Errorf("KUBERNETES_SERVICE_HOST: %w", err)
	}
	found := target{
		dns:        service,
		metrics:    metrics,
		domain:     or(env("CLUSTER_DOMAIN"), "cluster.local"),
		namespace:  env("CROSSCLOUD_NAMESPACE"),
		service:    env("CROSSCLOUD_RELEASE"),
		address:    server.Addr(),
		kubernetes: kubernetes,
	}
	for _, text := range strings.Split(env("HOSTS_RECORDS"), ",") {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return target{}, fmt.Errorf("HOSTS_RECORDS: %q is not name=address", text)
		}
		address, err := netip.ParseAddr(value)
		if err != nil {
			return target{}, fmt.Errorf("HOSTS_RECORDS: %w", err)
		}
		found.hosts = append(found.hosts, record{name, address})
	}
	return found, nil
}

// serviceName is what the cluster's DNS must call a Service.
func (t target) serviceName(service, namespace string) string {
	return fmt.Sprintf("%s.%s.svc.%s.", service, namespace, t.domain)
}
