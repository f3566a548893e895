package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How long a span may take from being sent to being found. A test has less.
var settling = 20 * time.Second

// Spans of the trace that is to be kept whole.
const many = 1000

// The services of the trace that most checks look at.
const (
	front = "crosscloud-front"
	back  = "crosscloud-back"
)

// answers waits until Jaeger says that it is ready: before that its answers mean nothing.
func (t target) answers(limit time.Duration) check {
	return check{"ready", func() (string, error) {
		return eventually(limit, func() (string, error) {
			text, err := get(t.admin + "/")
			if err == nil && !strings.Contains(string(text), "Server available") {
				err = fmt.Errorf("not available: %s", text)
			}
			return strings.TrimSpace(string(text)), err
		})
	}}
}

// checks are made one after the other, each of them strict.
func (t target) checks() []check {
	sent := order()
	return []check{
		{"the version that was built", t.built},
		{"spans over OTLP/HTTP", func() (string, error) { return t.sendAndFind(sent) }},
		{"parents, tags and durations are kept", func() (string, error) { return t.whole(sent) }},
		{"services and operations", t.operations},
		{"search by tag", func() (string, error) { return t.byTag(sent) }},
		{"search by duration", func() (string, error) { return t.byDuration(sent) }},
		{"dependencies", t.dependencies},
		{"API v3 has the same spans", func() (string, error) { return t.version3(sent) }},
		{"a span over OTLP/gRPC", t.gRPC},
		{"a large trace is whole", t.large},
		{"metrics count the spans", t.counts},
		{"a trace that is not there", t.absent},
		{"a request that is none", t.malformed},
		{"sampling strategies", t.strategies},
	}
}

// order is a request that fails behind the front: three spans of two services.
func order() []span {
	trace := newTraceID()
	root := newSpan(trace, "", front, "GET /order", kindServer, 250*time.Millisecond).
		with("crosscloud.order", "stringValue", trace)
	call := newSpan(trace, root.SpanID, front, "store", kindClient, 120*time.Millisecond)
	work := newSpan(trace, call.SpanID, back, "Store", kindServer, 100*time.Millisecond).
		with("http.response.status_code", "intValue", "503").
		with("retried", "boolValue", true)
	work.Status.Code = statusError
	return []span{root, call, work}
}

func (t target) built() (string, error) {
	const metric = "jaeger_build_info"
	value, err := t.metric(metric, "version", t.version)
	if err == nil && value != 1 {
		err = fmt.Errorf("%s{version=%q} is %v", metric, t.version, value)
	}
	return fmt.Sprintf("%s{version=%q} is 1", metric, t.version), err
}

// sendAndFind sends a trace and waits until all of it is there.
func (t target) sendAndFind(sent []span) (string, error) {
	if err := t.sendJSON(sent...); err != nil {
		return "", err
	}
	return eventually(settling, func() (string, error) {
		_, err := t.trace(sent[0].TraceID, len(sent))
		return fmt.Sprintf("trace %s has %d spans", sent[0].TraceID, len(sent)), err
	})
}

// whole wants every span as it was sent.
func (t target) whole(sent []span) (string, error) {
	got, err := t.trace(sent[0].TraceID, len(sent))
	if err != nil {
		return "", err
	}
	for _, want := range sent {
		index := slices.IndexFunc(got.Spans, func(each found) bool { return each.SpanID == want.SpanID })
		if index < 0 {
			return "", fmt.Errorf("span %s of %s is missing", want.SpanID, want.Name)
		}
		if err := same(got.Spans[index], want, got.Processes[got.Spans[index].ProcessID].ServiceName); err != nil {
			return "", fmt.Errorf("span %q: %w", want.Name, err)
		}
	}
	return fmt.Sprintf("%d spans of %d services, the last one's parent is %s", len(sent), len(got.Processes), sent[2].ParentID), nil
}

// same is the first difference between a span that was found and the one that was sent.
func same(got found, want span, service string) error {
	took := (want.End - want.Start) / 1000
	parent := ""
	for _, reference := range got.References {
		if reference.RefType == "CHILD_OF" && reference.TraceID == want.TraceID {
			parent = reference.SpanID
		}
	}
	kind := map[int]string{kindServer: "server", kindClient: "client"}[want.Kind]
	switch {
	case got.OperationName != want.Name || service != want.service:
		return fmt.Errorf("it is %q of %s, and was sent for %s", got.OperationName, service, want.service)
	case parent != want.ParentID:
		return fmt.Errorf("its parent is %q, and was %q", parent, want.ParentID)
	case got.Duration != took:
		return fmt.Errorf("it took %d µs, and was sent with %d", got.Duration, took)
	case got.tag("span.kind") != kind:
		return fmt.Errorf("its kind is %v, and was %s", got.tag("span.kind"), kind)
	case (got.tag("error") == true) != (want.Status.Code == statusError):
		return fmt.Errorf("its tag error is %v, and the status sent was %d", got.tag("error"), want.Status.Code)
	}
	for _, attribute := range want.Attributes {
		for _, value := range attribute.Value {
			if tag := got.tag(attribute.Key); fmt.Sprint(tag) != fmt.Sprint(value) {
				return fmt.Errorf("its tag %s is %v, and was %v", attribute.Key, tag, value)
			}
		}
	}
	return nil
}

func (t target) operations() (string, error) {
	var services []string
	if err := t.api("services", nil, &services); err != nil {
		return "", err
	}
	if !slices.Contains(services, front) || !slices.Contains(services, back) {
		return "", fmt.Errorf("services are %v, without %s or %s", services, front, back)
	}
	var operations []struct{ Name, SpanKind string }
	if err := t.api("operations", url.Values{"service": {front}, "spanKind": {"server"}}, &operations); err != nil {
		return "", err
	}
	if len(operations) != 1 || operations[0].Name != "GET /order" {
		return "", fmt.Errorf("of kind server %s has GET /order, and not %v", front, operations)
	}
	return fmt.Sprintf("services %s; %s serves %s", strings.Join(services, ", "), front, operations[0].Name), nil
}

func (t target) byTag(sent []span) (string, error) {
	query := lately(front)
	for value, want := range map[string][]string{sent[0].TraceID: {sent[0].TraceID}, newTraceID(): {}} {
		query.Set("tags", fmt.Sprintf(`{"crosscloud.order": %q}`, value))
		got, err := t.search(query)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("tags %s find %v, and not %v", query.Get("tags"), got, want)
		}
		if err != nil {
			return "", err
		}
	}
	// Errors are looked for by the tag that Jaeger makes of a status.
	query = lately(back)
	query.Set("tags", `{"error": "true", "http.response.status_code": "503"}`)
	got, err := t.search(query)
	if err == nil && !slices.Contains(got, sent[0].TraceID) {
		err = fmt.Errorf("the failed request is not among those that failed: %v", got)
	}
	return fmt.Sprintf("%s is found by its tag and by its error, and by no other value", sent[0].TraceID), err
}

func (t target) byDuration(sent []span) (string, error) {
	query := lately(front)
	query.Set("minDuration", "200ms")
	query.Set("maxDuration", "300ms")
	got, err := t.search(query)
	if err == nil && !slices.Contains(got, sent[0].TraceID) {
		err = fmt.Errorf("250 ms are not among 200 to 300 ms: %v", got)
	}
	if err != nil {
		return "", err
	}
	query.Set("minDuration", "260ms")
	if got, err = t.search(query); err == nil && len(got) > 0 {
		err = fmt.Errorf("traces between 260 and 300 ms that were never sent: %v", got)
	}
	return "250 ms are between 200 and 300, and not above 260", err
}

// lately is a search for traces of a service in the last hour.
func lately(service string) url.Values {
	now := time.Now()
	return url.Values{
		"service": {service},
		"start":   {strconv.FormatInt(now.Add(-time.Hour).UnixMicro(), 10)},
		"end":     {strconv.FormatInt(now.Add(time.Minute).UnixMicro(), 10)},
		"limit":   {"1000"},
	}
}

func (t target) dependencies() (string, error) {
	return eventually(settling, func() (string, error) {
		var links []struct {
			Parent, Child string
			CallCount     int
		}
		query := url.Values{
			"endTs":    {strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10)},
			"lookback": {strconv.FormatInt(time.Hour.Milliseconds(), 10)},
		}
		if err := t.api("dependencies", query, &links); err != nil {
			return "", err
		}
		for _, link := range links {
			if link.Parent == front && link.Child == back && link.CallCount > 0 {
				return fmt.Sprintf("%s has called %s %d times", front, back, link.CallCount), nil
			}
		}
		return "", fmt.Errorf("%s calls %s, and the graph has %v", front, back, links)
	})
}

func (t target) version3(sent []span) (string, error) {
	var answer struct {
		Result struct {
			ResourceSpans []struct {
				ScopeSpans []struct {
					Spans []struct{ Name string }
				}
			}
		}
	}
	if err := getJSON(t.query+"/api/v3/traces/"+sent[0].TraceID, &answer); err != nil {
		return "", err
	}
	var got, want []string
	for _, resource := range answer.Result.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, each := range scope.Spans {
				got = append(got, each.Name)
			}
		}
	}
	for _, each := range sent {
		want = append(want, each.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return "", fmt.Errorf("spans %q, and not %q", got, want)
	}
	return fmt.Sprintf("%q", got), nil
}

func (t target) gRPC() (string, error) {
	sent := newSpan(newTraceID(), "", "crosscloud-grpc", "call", kindServer, time.Millisecond)
	if err := t.sendGRPC(sent); err != nil {
		return "", err
	}
	return eventually(settling, func() (string, error) {
		got, err := t.trace(sent.TraceID, 1)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("trace %s came over gRPC", sent.TraceID), same(got.Spans[0], sent, got.Processes[got.Spans[0].ProcessID].ServiceName)
	})
}

func (t target) large() (string, error) {
	trace := newTraceID()
	root := newSpan(trace, "", "crosscloud-large", "all", kindServer, time.Second)
	spans := []span{root}
	for len(spans) < many {
		spans = append(spans, newSpan(trace, root.SpanID, "crosscloud-large", "one", kindClient, time.Millisecond))
	}
	return t.sendAndFind(spans)
}

// counts wants the spans of a service to be counted when they are saved. What counts them as received is said, but not
// judged: Jaeger 1.76 counts those that came in its own old formats only.
func (t target) counts() (string, error) {
	const service, sent = "crosscloud-counted", 7
	const saved, received = "jaeger_collector_spans_saved_by_svc_total", "jaeger_collector_spans_received_total"
	before, err := t.metric(saved, "svc", service)
	if err != nil {
		return "", err
	}
	var spans []span
	for range sent {
		spans = append(spans, newSpan(newTraceID(), "", service, "count", kindServer, time.Millisecond))
	}
	if err := t.sendJSON(spans...); err != nil {
		return "", err
	}
	return eventually(settling, func() (string, error) {
		after, err := t.metric(saved, "svc", service)
		if err == nil && after-before != sent {
			err = fmt.Errorf("%d spans raised %s by %.0f", sent, saved, after-before)
		}
		if err != nil {
			return "", err
		}
		other, err := t.metric(received, "svc", service)
		return fmt.Sprintf("%d spans raised %s from %.0f to %.0f; %s is %.0f", sent, saved, before, after, received, other), err
	})
}

func (t target) absent() (string, error) {
	seen, err := t.refused("/api/traces/"+newTraceID(), http.StatusNotFound)
	if err != nil {
		return "", err
	}
	_, err = t.refused("/api/traces/no-id", http.StatusBadRequest)
	return seen, err
}

func (t target) malformed() (string, error) {
	answer, err := t.post([]byte(`{"resourceSpans": "none"}`), http.StatusBadRequest)
	return string(answer), err
}

func (t target) strategies() (string, error) {
	var seen []string
	for service, want := range t.rates {
		if service == "*" {
			service = "crosscloud-any"
		}
		got, err := t.rate(service)
		if err != nil {
			return "", err
		}
		if got != want {
			return "", fmt.Errorf("%s is told to sample %v, and should be told %v", service, got, want)
		}
		seen = append(seen, fmt.Sprintf("%s samples %v", service, got))
	}
	slices.Sort(seen)
	return strings.Join(seen, ", "), nil
}
