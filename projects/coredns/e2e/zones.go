package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Bytes that an answer over UDP may have with EDNS, so that every network takes it. Without it: 512 (RFC 1035).
const ednsSize = 1232

// zoneTransfer asks for all of the cluster's zone, and looks for a record of each kind in it.
func (t target) zoneTransfer() (string, error) {
	zone := dns.Fqdn(t.domain)
	envelopes, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr(zone), t.dns)
	if err != nil {
		return "", err
	}
	var records []dns.RR
	for envelope := range envelopes {
		if envelope.Error != nil {
			return "", fmt.Errorf("after %d records: %w", len(records), envelope.Error)
		}
		records = append(records, envelope.RR...)
	}
	peers, err := t.peers()
	if err != nil {
		return "", err
	}
	kind := dns.TypeToString[family(t.address)]
	wanted := []string{
		fmt.Sprintf("%s %s %s", t.serviceName("kubernetes", "default"), kind, t.kubernetes),
		fmt.Sprintf("%s %s %s", t.serviceName(t.service, t.namespace), kind, t.address),
		fmt.Sprintf("%s CNAME %s", t.serviceName(t.service+"-external", t.namespace), dns.Fqdn(t.hosts[len(t.hosts)-1].name)),
	}
	for _, each := range peers {
		wanted = append(wanted, fmt.Sprintf("%s %s %s", t.headlessName(), kind, each.address))
	}
	var have []string
	for _, record := range records {
		header := record.Header()
		have = append(have, fmt.Sprintf("%s %s %s", header.Name, dns.TypeToString[header.Rrtype],
			strings.TrimPrefix(record.String(), header.String())))
	}
	for _, line := range wanted {
		if !slices.Contains(have, line) {
			return "", fmt.Errorf("%q is not among the %d records of %s", line, len(records), zone)
		}
	}
	return fmt.Sprintf("%d records of %s, %d Services' and pods' among them", len(records), zone, len(wanted)), nil
}

// largeAnswer wants what does not fit cut off and marked over plain UDP, and whole over TCP and with EDNS.
func (t target) largeAnswer() (string, error) {
	name := dns.Fqdn(t.many.name)
	plain, err := t.answered("udp", name, dns.TypeA)
	if err != nil {
		return "", err
	}
	if !plain.Truncated || len(plain.Answer) == t.many.count {
		return "", fmt.Errorf("%s over UDP: %d addresses, truncated is %v", name, len(plain.Answer), plain.Truncated)
	}
	stream, err := t.answered("tcp", name, dns.TypeA)
	if err != nil {
		return "", err
	}
	extended, err := exchange("udp", t.dns, new(dns.Msg).SetQuestion(name, dns.TypeA).SetEdns0(ednsSize, false))
	if err != nil {
		return "", err
	}
	for how, answer := range map[string]*dns.Msg{"TCP": stream, "UDP with EDNS": extended} {
		if got := distinct(addresses(answer)); got != t.many.count || answer.Truncated {
			return "", fmt.Errorf("%s over %s: %d of %d addresses, truncated is %v", name, how, got, t.many.count, answer.Truncated)
		}
	}
	if extended.IsEdns0() == nil {
		return "", fmt.Errorf("%s: asked with EDNS, answered without", name)
	}
	return fmt.Sprintf("%d addresses over TCP and with EDNS; %d of them, marked as cut off, over plain UDP",
		t.many.count, len(plain.Answer)), nil
}

func distinct(found []netip.Addr) int {
	slices.SortFunc(found, netip.Addr.Compare)
	return len(slices.Compact(found))
}

// forwarded has this container answer for a zone, which the release forwards to it; then the zone changes.
func (t target) forwarded() (string, error) {
	before, after := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	name := "changing." + dns.Fqdn(t.stub)
	t.upstream.set(name, before)
	// The Service in front of this container takes a moment to know it.
	first, err := eventually(t.patience, func() (string, error) { return t.addressOf("udp", name, before) })
	if err != nil {
		return "", err
	}
	t.upstream.set(name, after)
	second, err := eventually(t.patience, func() (string, error) { return t.addressOf("udp", name, after) })
	if err != nil {
		return "", fmt.Errorf("changed, but: %w", err)
	}
	return fmt.Sprintf("%s, then %s; this container was asked %d times", first, second, t.upstream.asked()), nil
}
