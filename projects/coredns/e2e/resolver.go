package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// shortNames walks the search list that kubelet wrote into this pod's resolv.conf, and asks the release.
func (t target) shortNames() (string, error) {
	if !slices.ContainsFunc(t.resolv.Search, func(each string) bool { return strings.HasSuffix(dns.Fqdn(each), t.domain+".") }) {
		return "", fmt.Errorf("resolv.conf searches %v: nothing in %s", t.resolv.Search, t.domain)
	}
	var seen []string
	for short, want := range map[string]netip.Addr{"kubernetes.default": t.kubernetes, t.service: t.address} {
		line, err := t.search(short, want)
		if err != nil {
			return "", err
		}
		seen = append(seen, line)
	}
	slices.Sort(seen)
	return strings.Join(seen, "; "), nil
}

// search tries one name after the other, as a resolver does. Whatever is not there must be NXDOMAIN: after another
// error resolvers give up.
func (t target) search(short string, want netip.Addr) (string, error) {
	names := t.resolv.NameList(short)
	for number, name := range names {
		answer, err := t.ask("udp", name, family(want))
		if err != nil {
			return "", err
		}
		if answer.Rcode == dns.RcodeNameError {
			continue
		}
		if got := addresses(answer); answer.Rcode != dns.RcodeSuccess || !slices.Equal(got, []netip.Addr{want}) {
			return "", fmt.Errorf("%s for %s, and %v for %s", dns.RcodeToString[answer.Rcode], name, got, want)
		}
		return fmt.Sprintf("%s is %s, with query %d of at most %d", short, want, number+1, len(names)), nil
	}
	return "", fmt.Errorf("%s is none of %s", short, strings.Join(names, " "))
}

// clusterDNS resolves names as any program of any pod does: by the address that kubelet tells all pods.
func (t target) clusterDNS() (string, error) {
	if t.lent == "" {
		return "", skipped(or(t.notLent, "nobody gave this release the address that kubelet tells pods"))
	}
	address, _, err := net.SplitHostPort(t.lent)
	if err != nil {
		return "", err
	}
	if !slices.Equal(t.resolv.Servers, []string{address}) {
		return "", fmt.Errorf("resolv.conf names %v, and not %s", t.resolv.Servers, address)
	}
	return eventually(t.patience, func() (string, error) {
		mine, err := identity(t.dns)
		if err != nil {
			return "", err
		}
		if theirs, err := identity(t.lent); err != nil || theirs != mine {
			return "", fmt.Errorf("at %s there is %q (%v), and not %s", t.lent, theirs, err, mine)
		}
		for name, want := range map[string]netip.Addr{"kubernetes.default": t.kubernetes, t.service: t.address} {
			got, err := t.lookup(context.Background(), name)
			if err != nil || !slices.Equal(got, []string{want.String()}) {
				return "", fmt.Errorf("%s is %s, and not %v (%v)", name, want, got, err)
			}
		}
		return fmt.Sprintf("%s at %s resolves kubernetes.default and %s", mine, t.lent, t.service), nil
	})
}
