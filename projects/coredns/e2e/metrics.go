package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// requests is the sum of coredns_dns_requests_total over all its labels.
func (t target) requests() (float64, error) {
	text, err := get("http://" + t.metrics + "/metrics")
	if err != nil {
		return 0, err
	}
	return sum(bytes.NewReader(text), "coredns_dns_requests_total")
}

// sum adds up the samples of a metric in the Prometheus text format.
func sum(text io.Reader, metric string) (float64, error) {
	total, found := 0.0, false
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		line := lines.Text()
		rest, ok := strings.CutPrefix(line, metric)
		if !ok || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndex(rest, "}")+1:])
		if len(fields) == 0 {
			return 0, fmt.Errorf("metrics: no value in %q", line)
		}
		value, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return 0, fmt.Errorf("metrics: %q: %w", line, err)
		}
		total, found = total+value, true
	}
	if !found {
		return 0, fmt.Errorf("metrics: no %s", metric)
	}
	return total, lines.Err()
}
