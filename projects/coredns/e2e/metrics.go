package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Queries that are sent between two looks at the metrics.
const counted = 20

// How long the metrics may take to show them: CoreDNS counts a query after it has sent the answer.
const countingTime = 3 * time.Second

// A release, whose number a program can know. Of a commit it does not.
var release = regexp.MustCompile(`^v?(\d+\.\d+\.\d+)$`)

// healthy wants what Kubernetes' probes want.
func (t target) healthy() (string, error) {
	for _, url := range []string{"http://" + t.health + "/health", "http://" + t.ready + "/ready"} {
		text, err := get(url)
		if err != nil {
			return "", err
		}
		if string(text) != "OK" {
			return "", fmt.Errorf("%s says %.100q", url, text)
		}
	}
	return "/health and /ready say OK", nil
}

func (t target) metricsCount() (string, error) {
	name := t.serviceName("kubernetes", "default")
	return t.grows("coredns_dns_requests_total", counted, func() error {
		for range counted {
			if _, err := t.answered("udp", name, family(t.kubernetes)); err != nil {
				return err
			}
		}
		return nil
	})
}

// cached asks for a name that is there and for one that is not, again and again: only the first time is a miss.
func (t target) cached() (string, error) {
	hit := dns.Fqdn(t.hosts[0].name)
	miss := t.serviceName("never-asked-before", t.namespace)
	var seen []string
	for kind, name := range map[string]string{"success": hit, "denial": miss} {
		line, err := t.grows("coredns_cache_hits_total", counted-1, func() error {
			for range counted {
				if _, err := t.ask("udp", name, dns.TypeA); err != nil {
					return err
				}
			}
			return nil
		}, fmt.Sprintf("type=%q", kind))
		if err != nil {
			return "", err
		}
		seen = append(seen, line)
	}
	return strings.Join(seen, ", "), nil
}

// buildInfo wants the program to be of the version that was to be built.
func (t target) buildInfo() (string, error) {
	wanted := release.FindStringSubmatch(t.version)
	if wanted == nil {
		return "", skipped(fmt.Sprintf("%q is no release, so what CoreDNS says of itself proves nothing", t.version))
	}
	text, err := get("http://" + t.metrics + "/metrics")
	if err != nil {
		return "", err
	}
	if _, err := sum(bytes.NewReader(text), "coredns_build_info", fmt.Sprintf("version=%q", wanted[1])); err != nil {
		line, _, _ := strings.Cut(string(text[max(0, bytes.Index(text, []byte("\ncoredns_build_info"))):]), "}")
		return "", fmt.Errorf("it is not %s: %s}", wanted[1], strings.TrimSpace(line))
	}
	return "it is " + wanted[1], nil
}

func (t target) noPanics() (string, error) {
	total, err := t.metric("coredns_panics_total")
	if err == nil && total != 0 {
		err = fmt.Errorf("%.0f panics", total)
	}
	return "coredns_panics_total is 0", err
}

// grows does something, and wants a metric to be larger afterwards by at least so much.
func (t target) grows(metric string, least float64, do func() error, labels ...string) (string, error) {
	before, err := t.metric(metric, labels...)
	if err != nil {
		before = 0 // what never happened has no series
	}
	if err := do(); err != nil {
		return "", err
	}
	after := before
	for deadline := time.Now().Add(countingTime); after-before < least; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return "", fmt.Errorf("%d queries raised %s%q by %.0f, and not by %.0f", counted, metric, labels, after-before, least)
		}
		if after, err = t.metric(metric, labels...); err != nil {
			after = before
		}
	}
	return fmt.Sprintf("%s%v went from %.0f to %.0f", metric, labels, before, after), nil
}

// metric is the sum of a metric over all its series with these labels.
func (t target) metric(name string, labels ...string) (float64, error) {
	text, err := get("http://" + t.metrics + "/metrics")
	if err != nil {
		return 0, err
	}
	return sum(bytes.NewReader(text), name, labels...)
}

// sum adds up the samples of a metric in the Prometheus text format. A label is as it is written there: name="value".
func sum(text io.Reader, metric string, labels ...string) (float64, error) {
	total, found := 0.0, false
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), metric)
		if !ok || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") || !hasAll(rest, labels) {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndex(rest, "}")+1:])
		if len(fields) == 0 {
			return 0, fmt.Errorf("metrics: no value in %q", lines.Text())
		}
		value, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return 0, fmt.Errorf("metrics: %q: %w", lines.Text(), err)
		}
		total, found = total+value, true
	}
	if !found {
		return 0, fmt.Errorf("metrics: no %s%q", metric, labels)
	}
	return total, lines.Err()
}

func hasAll(series string, labels []string) bool {
	for _, label := range labels {
		if !strings.Contains(series, "{"+label) && !strings.Contains(series, ","+label) {
			return false
		}
	}
	return true
}
