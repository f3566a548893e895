package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Where this container answers for the zone that the release forwards, as the chart's Service -upstream has it.
const upstreamAddress = ":5353"

// A target is the release under test, and what it must know.
type target struct {
	dns, metrics, health, ready string // host:port
	version                     string // of the project, as the run resolved it; empty: unknown
	domain                      string // the cluster's, e.g. cluster.local
	namespace                   string
	service                     string     // the release's own Service
	address                     netip.Addr // its cluster address
	kubernetes                  netip.Addr // of the Service kubernetes in the namespace default
	hosts                       []record
	many                        many
	stub                        string // the zone that is forwarded to this container
	pods                        int    // behind the headless Service
	podPort                     uint16
	pod                         netip.Addr                                      // this container's
	resolv                      *dns.ClientConfig                               // its resolv.conf
	lookup                      func(context.Context, string) ([]string, error) // as programs of this container resolve names
	lent, notLent               string                                          // where the cluster's DNS is (host:port), or why it is another
	upstream                    *upstream
	patience                    time.Duration // for what becomes known in the cluster's own time
}

type record struct {
	name    string
	address netip.Addr
}

// A name with so many addresses that they do not fit into a plain answer.
type many struct {
	name  string
	count int
}

// fromEnvironment reads the target. The addresses come from the variables that Kubernetes gives to every pod about
// the Services of its namespace, so that no DNS is needed to find the DNS.
func fromEnvironment(env environment) (target, error) {
	found := target{
		version:   env("CROSSCLOUD_VERSION"),
		domain:    or(env("CLUSTER_DOMAIN"), "cluster.local"),
		namespace: env("CROSSCLOUD_NAMESPACE"),
		service:   env("CROSSCLOUD_RELEASE"),
		stub:      env("STUB_ZONE"),
		podPort:   5353,
		lookup:    net.DefaultResolver.LookupHost,
		notLent:   env("CLUSTER_DNS_NOT_LENT"),
		patience:  20 * time.Second,
	}
	if found.namespace == "" || found.stub == "" {
		return target{}, errors.New("CROSSCLOUD_NAMESPACE and STUB_ZONE must be set")
	}
	for port, place := range map[string]*string{
		"dns": &found.dns, "metrics": &found.metrics, "health": &found.health, "ready": &found.ready,
	} {
		address, err := env.service("", port)
		if err != nil {
			return target{}, err
		}
		*place = address
	}
	server, err := netip.ParseAddrPort(found.dns)
	if err != nil {
		return target{}, err
	}
	found.address = server.Addr()
	if found.kubernetes, err = netip.ParseAddr(env("KUBERNETES_SERVICE_HOST")); err != nil {
		return target{}, fmt.Errorf("KUBERNETES_SERVICE_HOST: %w", err)
	}
	if found.pods, err = strconv.Atoi(env("HEADLESS_PODS")); err != nil {
		return target{}, fmt.Errorf("HEADLESS_PODS: %w", err)
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
	if address := env("CLUSTER_DNS"); address != "" {
		found.lent = net.JoinHostPort(address, "53")
	}
	name, count, _ := strings.Cut(env("MANY_RECORDS"), "=")
	number, err := strconv.Atoi(count)
	if err != nil {
		return target{}, fmt.Errorf("MANY_RECORDS: %w", err)
	}
	found.many = many{name, number}
	return found, nil
}

// here adds what the target knows of this container itself.
func (t target) here() (target, error) {
	var err error
	if t.resolv, err = dns.ClientConfigFromFile("/etc/resolv.conf"); err != nil {
		return target{}, err
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return target{}, err
	}
	for _, each := range interfaces {
		found, err := netip.ParsePrefix(each.String())
		if err == nil && found.Addr().IsGlobalUnicast() && found.Addr().Is4() == t.kubernetes.Is4() {
			t.pod = found.Addr()
		}
	}
	if !t.pod.IsValid() {
		return target{}, fmt.Errorf("no address of this pod among %v", interfaces)
	}
	t.upstream = newUpstream()
	return t, t.upstream.listen(upstreamAddress)
}

// serviceName is what the cluster's DNS must call a Service.
func (t target) serviceName(service, namespace string) string {
	return fmt.Sprintf("%s.%s.svc.%s.", service, namespace, t.domain)
}
