package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Queries that are sent between two looks at the metrics.
const counted = 20

// How long the metrics may take to show them.
const countingTime = 3 * time.Second

// checks are made one after the other, each of them strict.
func (t target) checks() []check {
	kubernetes := t.serviceName("kubernetes", "default")
	own := t.serviceName(t.service, t.namespace)
	checks := []check{
		{"service name over UDP", func() (string, error) { return t.addressOf("udp", kubernetes, t.kubernetes) }},
		{"service name over TCP", func() (string, error) { return t.addressOf("tcp", kubernetes, t.kubernetes) }},
		{"name of its own service", func() (string, error) { return t.addressOf("udp", own, t.address) }},
		{"named port", func() (string, error) { return t.namedPort("_dns._udp."+own, own) }},
		{"reverse lookup", func() (string, error) { return t.reverse(t.address, own) }},
		{"name without such a record", func() (string, error) { return t.noData(kubernetes) }},
		{"NXDOMAIN", func() (string, error) { return t.noSuchName(t.serviceName("no-such-service", t.namespace)) }},
		{"metrics count the requests", t.metricsCount},
	}
	for _, host := range t.hosts {
		checks = append(checks, check{"hosts zone: " + host.name, func() (string, error) {
			return t.addressOf("udp", dns.Fqdn(host.name), host.address)
		}})
	}
	return checks
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

// addressOf wants exactly one record for the name, with that address.
func (t target) addressOf(network, name string, want netip.Addr) (string, error) {
	answer, err := t.answered(network, name, family(want))
	if err != nil {
		return "", err
	}
	var got []string
	for _, record := range answer.Answer {
		switch record := record.(type) {
		case *dns.A:
			got = append(got, record.A.String())
		case *dns.AAAA:
			got = append(got, record.AAAA.String())
		}
	}
	if len(got) != 1 || got[0] != want.String() {
		return "", fmt.Errorf("%s is %s, and not %v", name, want, got)
	}
	return fmt.Sprintf("%s is %s", name, got[0]), nil
}

func (t target) namedPort(name, service string) (string, error) {
	answer, err := t.answered("udp", name, dns.TypeSRV)
	if err != nil {
		return "", err
	}
	for _, record := range answer.Answer {
		if found, ok := record.(*dns.SRV); ok && found.Port == 53 && found.Target == service {
			return fmt.Sprintf("%s is port %d of %s", name, found.Port, found.Target), nil
		}
	}
	return "", fmt.Errorf("%s is port 53 of %s, and not %v", name, service, answer.Answer)
}

func (t target) reverse(address netip.Addr, want string) (string, error) {
	name, err := dns.ReverseAddr(address.String())
	if err != nil {
		return "", err
	}
	answer, err := t.answered("udp", name, dns.TypePTR)
	if err != nil {
		return "", err
	}
	for _, record := range answer.Answer {
		if found, ok := record.(*dns.PTR); ok && found.Ptr == want {
			return fmt.Sprintf("%s is %s", address, found.Ptr), nil
		}
	}
	return "", fmt.Errorf("%s is %s, and not %v", address, want, answer.Answer)
}

// noData wants the answer to a name that exists, for a type that it does not have: no error, and no records.
func (t target) noData(name string) (string, error) {
	answer, err := t.answered("udp", name, dns.TypeMX)
	if err != nil {
		return "", err
	}
	if len(answer.Answer) > 0 {
		return "", fmt.Errorf("%s has no mail exchanger, and not %v", name, answer.Answer)
	}
	return name + " has no MX, and is no error", nil
}

func (t target) noSuchName(name string) (string, error) {
	answer, err := t.ask("udp", name, dns.TypeA)
	if err != nil {
		return "", err
	}
	if answer.Rcode != dns.RcodeNameError {
		return "", fmt.Errorf("%s for a name that is not there: %s", dns.RcodeToString[answer.Rcode], name)
	}
	for _, record := range answer.Ns {
		if _, ok := record.(*dns.SOA); ok {
			return name + " is not there", nil
		}
	}
	// Without it nobody may cache that the name is not there (RFC 2308).
	return "", fmt.Errorf("NXDOMAIN without the zone's SOA record: %s", name)
}

func (t target) metricsCount() (string, error) {
	before, err := t.requests()
	if err != nil {
		return "", err
	}
	name := t.serviceName("kubernetes", "default")
	for range counted {
		if _, err := t.answered("udp", name, family(t.kubernetes)); err != nil {
			return "", err
		}
	}
	// CoreDNS counts a query after it has sent the answer.
	after := before
	for deadline := time.Now().Add(countingTime); after-before < counted; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return "", fmt.Errorf("%d queries raised coredns_dns_requests_total by %.0f", counted, after-before)
		}
		if after, err = t.requests(); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("coredns_dns_requests_total went from %.0f to %.0f", before, after), nil
}

// answered asks, and takes anything but NOERROR for an error.
func (t target) answered(network, name string, kind uint16) (*dns.Msg, error) {
	answer, err := t.ask(network, name, kind)
	if err == nil && answer.Rcode != dns.RcodeSuccess {
		err = fmt.Errorf("%s for %s %s", dns.RcodeToString[answer.Rcode], name, dns.TypeToString[kind])
	}
	return answer, err
}

// ask sends one query, again when no answer came: networks may lose a datagram. Any answer counts.
func (t target) ask(network, name string, kind uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(name, kind)
	client := &dns.Client{Net: network, Timeout: 2 * time.Second}
	var answer *dns.Msg
	var err error
	for range 3 {
		if answer, _, err = client.Exchange(question, t.dns); err == nil {
			return answer, nil
		}
		if failure, ok := err.(net.Error); !ok || !failure.Timeout() {
			break
		}
	}
	return nil, fmt.Errorf("%s %s over %s: %w", strings.TrimSuffix(name, "."), dns.TypeToString[kind], network, err)
}

func family(address netip.Addr) uint16 {
	if address.Is4() {
		return dns.TypeA
	}
	return dns.TypeAAAA
}
