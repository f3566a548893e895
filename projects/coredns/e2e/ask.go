package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// answered asks, and takes anything but NOERROR for an error.
func (t target) answered(network, name string, kind uint16) (*dns.Msg, error) {
	answer, err := t.ask(network, name, kind)
	if err == nil && answer.Rcode != dns.RcodeSuccess {
		err = fmt.Errorf("%s for %s %s", dns.RcodeToString[answer.Rcode], name, dns.TypeToString[kind])
	}
	return answer, err
}

// ask sends one query to the release. Any answer counts.
func (t target) ask(network, name string, kind uint16) (*dns.Msg, error) {
	return exchange(network, t.dns, new(dns.Msg).SetQuestion(name, kind))
}

// exchange sends one query, again when no answer came: networks may lose a datagram.
func exchange(network, server string, question *dns.Msg) (*dns.Msg, error) {
	client := &dns.Client{Net: network, Timeout: 2 * time.Second}
	var answer *dns.Msg
	var err error
	for range 3 {
		if answer, _, err = client.Exchange(question, server); err == nil {
			return answer, nil
		}
		if failure, ok := err.(net.Error); !ok || !failure.Timeout() {
			break
		}
	}
	asked := question.Question[0]
	return nil, fmt.Errorf("%s %s over %s: %w", strings.TrimSuffix(asked.Name, "."), dns.TypeToString[asked.Qtype], network, err)
}

// identity is what a DNS server calls itself: the name of its host, which in a cluster is its pod (RFC 4892).
func identity(server string) (string, error) {
	question := new(dns.Msg).SetQuestion("id.server.", dns.TypeTXT)
	question.Question[0].Qclass = dns.ClassCHAOS
	answer, err := exchange("udp", server, question)
	if err != nil {
		return "", err
	}
	for _, record := range answer.Answer {
		if text, ok := record.(*dns.TXT); ok {
			return strings.Join(text.Txt, ""), nil
		}
	}
	return "", fmt.Errorf("%s for id.server, without a name", dns.RcodeToString[answer.Rcode])
}

// addresses are those in an answer, in its order.
func addresses(answer *dns.Msg) []netip.Addr {
	var found []netip.Addr
	for _, record := range answer.Answer {
		switch record := record.(type) {
		case *dns.A:
			address, _ := netip.AddrFromSlice(record.A.To4())
			found = append(found, address)
		case *dns.AAAA:
			address, _ := netip.AddrFromSlice(record.AAAA.To16())
			found = append(found, address)
		}
	}
	return found
}

// family is the type of the records that have such an address.
func family(address netip.Addr) uint16 {
	if address.Is4() {
		return dns.TypeA
	}
	return dns.TypeAAAA
}
