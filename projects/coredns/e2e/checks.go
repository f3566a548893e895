package main

import (
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// checks are made one after the other, each of them strict.
func (t target) checks() []check {
	kubernetes := t.serviceName("kubernetes", "default")
	own := t.serviceName(t.service, t.namespace)
	checks := []check{
		{"service name over UDP", func() (string, error) { return t.addressOf("udp", kubernetes, t.kubernetes) }},
		{"service name over TCP", func() (string, error) { return t.addressOf("tcp", kubernetes, t.kubernetes) }},
		{"name of its own service", func() (string, error) { return t.addressOf("udp", own, t.address) }},
		{"named ports", t.namedPorts},
		{"reverse lookup", func() (string, error) { return t.reverse(t.address, own) }},
		{"headless service", t.headless},
		{"pods of a headless service", t.podNames},
		{"ports of a headless service", t.podPorts},
		{"reverse lookup of pods", t.podsReverse},
		{"ExternalName service", t.externalName},
		{"pod by its address", t.podRecord},
		{"name without such a record", func() (string, error) { return t.noData(kubernetes) }},
		{"NXDOMAIN", func() (string, error) { return t.noSuchName(t.serviceName("no-such-service", t.namespace)) }},
		{"short names, as the pod's resolv.conf has them", t.shortNames},
		{"as the cluster's own DNS", t.clusterDNS},
		{"zone transfer", t.zoneTransfer},
		{"large answer", t.largeAnswer},
	}
	for _, host := range t.hosts {
		checks = append(checks, check{"hosts zone: " + host.name, func() (string, error) {
			return t.addressOf("udp", dns.Fqdn(host.name), host.address)
		}})
	}
	return append(checks,
		check{"forwarded zone, and a change of it", t.forwarded},
		check{"health and readiness", t.healthy},
		check{"metrics count the requests", t.metricsCount},
		check{"cache", t.cached},
		check{"version", t.buildInfo},
		check{"no panics", t.noPanics}, // last: after all that was asked
	)
}

// answers waits until CoreDNS knows the cluster: before that its answers mean nothing.
func (t target) answers(patience time.Duration) check {
	name := t.serviceName("kubernetes", "default")
	return check{"answers at all", func() (string, error) {
		return eventually(patience, func() (string, error) {
			answer, err := t.ask("udp", name, family(t.kubernetes))
			if err == nil && (answer.Rcode != dns.RcodeSuccess || len(answer.Answer) == 0) {
				err = fmt.Errorf("%s for %s, with %d records", dns.RcodeToString[answer.Rcode], name, len(answer.Answer))
			}
			return name, err
		})
	}}
}
