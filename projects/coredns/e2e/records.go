package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// addressOf wants exactly one record for the name, with that address.
func (t target) addressOf(network, name string, want netip.Addr) (string, error) {
	answer, err := t.answered(network, name, family(want))
	if err != nil {
		return "", err
	}
	if got := addresses(answer); len(got) != 1 || got[0] != want {
		return "", fmt.Errorf("%s is %s, and not %v", name, want, got)
	}
	return fmt.Sprintf("%s is %s", name, want), nil
}

// namedPorts wants a record for each port of the release's Service: its number, and the Service's own name.
func (t target) namedPorts() (string, error) {
	own := t.serviceName(t.service, t.namespace)
	for name, number := range map[string]uint16{"_dns._udp.": 53, "_dns-tcp._tcp.": 53, "_metrics._tcp.": 9153} {
		found, err := t.ports(name + own)
		if err != nil {
			return "", err
		}
		if len(found) != 1 || found[0].Port != number || found[0].Target != own {
			return "", fmt.Errorf("%s%s is port %d of %s, and not %v", name, own, number, own, found)
		}
	}
	return "dns, dns-tcp and metrics are ports 53, 53 and 9153 of " + own, nil
}

func (t target) ports(name string) ([]*dns.SRV, error) {
	answer, err := t.answered("udp", name, dns.TypeSRV)
	if err != nil {
		return nil, err
	}
	var found []*dns.SRV
	for _, record := range answer.Answer {
		if service, ok := record.(*dns.SRV); ok {
			found = append(found, service)
		}
	}
	return found, nil
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

// -- a Service without an address of its own --------------------------------------------------------------------

func (t target) headlessName() string { return t.serviceName(t.service+"-pods", t.namespace) }

// A peer is one pod behind the headless Service: a DNS server that says who it is.
type peer struct {
	pod, name string // as Kubernetes and as DNS call it
	address   netip.Addr
}

// peers are the pods by their own names, in order.
func (t target) peers() ([]peer, error) {
	var found []peer
	for number := range t.pods {
		pod := fmt.Sprintf("%s-pods-%d", t.service, number)
		name := pod + "." + t.headlessName()
		answer, err := t.answered("udp", name, family(t.address))
		if err != nil {
			return nil, err
		}
		got := addresses(answer)
		if len(got) != 1 {
			return nil, fmt.Errorf("%s has %d addresses: %v", name, len(got), got)
		}
		found = append(found, peer{pod, name, got[0]})
	}
	return found, nil
}

// headless wants one address for each pod, and no other.
func (t target) headless() (string, error) {
	answer, err := t.answered("udp", t.headlessName(), family(t.address))
	if err != nil {
		return "", err
	}
	got := addresses(answer)
	slices.SortFunc(got, netip.Addr.Compare)
	if len(slices.Compact(slices.Clone(got))) != t.pods || len(got) != t.pods {
		return "", fmt.Errorf("%s has %d pods, and the addresses %v", t.headlessName(), t.pods, got)
	}
	return fmt.Sprintf("%s is %v", t.headlessName(), got), nil
}

// podNames asks the pod at each name's address who it is.
func (t target) podNames() (string, error) {
	found, err := t.peers()
	if err != nil {
		return "", err
	}
	var seen []string
	for _, each := range found {
		who, err := identity(netip.AddrPortFrom(each.address, t.podPort).String())
		if err != nil {
			return "", fmt.Errorf("%s at %s: %w", each.pod, each.address, err)
		}
		if who != each.pod {
			return "", fmt.Errorf("%s is %s, and that is pod %s", each.name, each.address, who)
		}
		seen = append(seen, fmt.Sprintf("%s is %s", each.pod, each.address))
	}
	return strings.Join(seen, ", "), nil
}

func (t target) podPorts() (string, error) {
	name := "_dns._udp." + t.headlessName()
	found, err := t.ports(name)
	if err != nil {
		return "", err
	}
	var got, want []string
	for _, each := range found {
		got = append(got, fmt.Sprintf("%d %s", each.Port, each.Target))
	}
	for number := range t.pods {
		want = append(want, fmt.Sprintf("%d %s-pods-%d.%s", t.podPort, t.service, number, t.headlessName()))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return "", fmt.Errorf("%s is %q, and not %q", name, want, got)
	}
	return fmt.Sprintf("%s is port %d of %d pods", name, t.podPort, t.pods), nil
}

func (t target) podsReverse() (string, error) {
	found, err := t.peers()
	if err != nil {
		return "", err
	}
	var seen []string
	for _, each := range found {
		line, err := t.reverse(each.address, each.name)
		if err != nil {
			return "", err
		}
		seen = append(seen, line)
	}
	return strings.Join(seen, ", "), nil
}

// -- other kinds of names ---------------------------------------------------------------------------------------

// externalName wants the alias, and in the same answer the address behind it, which the hosts zone has.
func (t target) externalName() (string, error) {
	name, want := t.serviceName(t.service+"-external", t.namespace), t.hosts[len(t.hosts)-1]
	answer, err := t.answered("udp", name, family(want.address))
	if err != nil {
		return "", err
	}
	var aliases []string
	for _, record := range answer.Answer {
		if alias, ok := record.(*dns.CNAME); ok {
			aliases = append(aliases, alias.Target)
		}
	}
	if !slices.Equal(aliases, []string{dns.Fqdn(want.name)}) {
		return "", fmt.Errorf("%s is an alias of %s, and not of %v", name, want.name, aliases)
	}
	if got := addresses(answer); !slices.Equal(got, []netip.Addr{want.address}) {
		return "", fmt.Errorf("%s is %s, whose address is %s and not %v", name, want.name, want.address, got)
	}
	return fmt.Sprintf("%s is %s, which is %s", name, want.name, want.address), nil
}

// podRecord wants the name made of this pod's address, and none for an address that no pod has.
func (t target) podRecord() (string, error) {
	nobody := t.podName(netip.MustParseAddr("192.0.2.1"))
	if _, err := t.noSuchName(nobody); err != nil {
		return "", err
	}
	// CoreDNS hears of a new pod a moment after the pod has begun.
	return eventually(t.patience, func() (string, error) { return t.addressOf("udp", t.podName(t.pod), t.pod) })
}

func (t target) podName(address netip.Addr) string {
	dashed := strings.NewReplacer(".", "-", ":", "-").Replace(address.String())
	return fmt.Sprintf("%s.%s.pod.%s.", dashed, t.namespace, t.domain)
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
