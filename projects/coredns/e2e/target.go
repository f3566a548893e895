package main

import (
	"errors"
	"fmt"
	"net"
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
func fromEnvironment(env func(string) string) (target, error) {
	release := env("CROSSCLOUD_RELEASE")
	if release == "" || env("CROSSCLOUD_NAMESPACE") == "" {
		return target{}, errors.New("CROSSCLOUD_RELEASE and CROSSCLOUD_NAMESPACE must be set")
	}
	service := strings.ToUpper(strings.ReplaceAll(release, "-", "_")) + "_SERVICE_"
	address, err := variable(env, service+"HOST")
	if err != nil {
		return target{}, fmt.Errorf("no Service %s in this namespace when the pod started: %w", release, err)
	}
	kubernetes, err := variable(env, "KUBERNETES_SERVICE_HOST")
	if err != nil {
		return target{}, err
	}
	found := target{
		dns:        net.JoinHostPort(address.String(), or(env(service+"PORT_DNS"), "53")),
		metrics:    net.JoinHostPort(address.String(), or(env(service+"PORT_METRICS"), "9153")),
		domain:     or(env("CLUSTER_DOMAIN"), "cluster.local"),
		namespace:  env("CROSSCLOUD_NAMESPACE"),
		service:    release,
		address:    address,
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

func variable(env func(string) string, name string) (netip.Addr, error) {
	address, err := netip.ParseAddr(env(name))
	if err != nil {
		return address, fmt.Errorf("%s: %w", name, err)
	}
	return address, nil
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// serviceName is what the cluster's DNS must call a Service.
func (t target) serviceName(service, namespace string) string {
	return fmt.Sprintf("%s.%s.svc.%s.", service, namespace, t.domain)
}
