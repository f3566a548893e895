package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A trace is what Jaeger's query API answers with.
type trace struct {
	TraceID   string
	Spans     []found
	Processes map[string]struct{ ServiceName string }
}

// found is a span of it.
type found struct {
	SpanID        string
	OperationName string
	References    []struct{ RefType, TraceID, SpanID string }
	Duration      int64 // microseconds
	Tags          []struct {
		Key, Type string
		Value     any
	}
	ProcessID string
}

func (f found) tag(key string) any {
	for _, tag := range f.Tags {
		if tag.Key == key {
			return tag.Value
		}
	}
	return nil
}

// api asks the query service, and reads the data of its answer.
func (t target) api(path string, query url.Values, data any) error {
	return getJSON(t.query+"/api/"+path+"?"+query.Encode(), &struct {
		Data any `json:"data"`
	}{data})
}

// trace is the trace with that id, which must have that many spans.
func (t target) trace(id string, spans int) (trace, error) {
	var answer []trace
	if err := t.api("traces/"+id, nil, &answer); err != nil {
		return trace{}, err
	}
	if len(answer) != 1 {
		return trace{}, fmt.Errorf("%d traces with id %s", len(answer), id)
	}
	if got := len(answer[0].Spans); got != spans {
		return trace{}, fmt.Errorf("trace %s has %d spans, and %d were sent", id, got, spans)
	}
	return answer[0], nil
}

// search is the ids of the traces that a query finds.
func (t target) search(query url.Values) ([]string, error) {
	var answer []trace
	if err := t.api("traces", query, &answer); err != nil {
		return nil, err
	}
	ids := []string{}
	for _, each := range answer {
		ids = append(ids, each.TraceID)
	}
	return ids, nil
}

// refused asks for something that must end with that status.
func (t target) refused(path string, status int) (string, error) {
	request, err := http.NewRequest(http.MethodGet, t.query+path, nil)
	if err != nil {
		return "", err
	}
	text, err := body(request, status)
	return fmt.Sprintf("%s: %d %s", path, status, bytes.TrimSpace(text)), err
}

// metric is the sum of a metric's samples with that label.
func (t target) metric(name, label, value string) (float64, error) {
	text, err := get(t.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name+"{")
		if !ok || !strings.Contains(rest, fmt.Sprintf("%s=%q", label, value)) {
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, "}")+1:]), 64)
		if err != nil {
			return 0, fmt.Errorf("metrics: %q: %w", line, err)
		}
		total += number
	}
	return total, nil
}

// rate is the sampling rate that clients of a service are told.
func (t target) rate(service string) (float64, error) {
	var answer struct {
		ProbabilisticSampling *struct{ SamplingRate float64 }
	}
	text, err := get(t.sampling + "/api/sampling?" + url.Values{"service": {service}}.Encode())
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.ProbabilisticSampling == nil {
		return 0, fmt.Errorf("no probabilistic strategy for %s: %s", service, text)
	}
	return answer.ProbabilisticSampling.SamplingRate, nil
}
