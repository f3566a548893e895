package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fake is a Jaeger that answers rightly, except for the fault that a test gives it.
type fake struct {
	fault string
	mutex sync.Mutex
	spans []span
}

func (f *fake) has(fault string) bool {
	return f.fault == fault
}

func (f *fake) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	query := request.URL.Query()
	path := request.URL.Path
	switch {
	case path == "/":
		fmt.Fprint(writer, `{"status":"Server available"}`)
	case path == "/metrics":
		f.metrics(writer)
	case path == "/v1/traces":
		f.take(writer, request)
	case path == exportMethod:
		f.takeGRPC(writer, request)
	case path == "/api/services":
		reply(writer, slices.Concat([]string{"jaeger-all-in-one", front}, unless(f.has("service lost"), []string{back}, nil)))
	case path == "/api/operations":
		name := unless(f.has("another operation"), "GET /order", "GET /")
		reply(writer, []any{map[string]any{"name": name, "spanKind": query.Get("spanKind")}})
	case path == "/api/dependencies":
		links := []any{map[string]any{"parent": front, "child": back, "callCount": 1}}
		reply(writer, unless(f.has("no dependencies"), links, nil))
	case path == "/api/traces":
		f.search(writer, query)
	case strings.HasPrefix(path, "/api/traces/"):
		f.trace(writer, strings.TrimPrefix(path, "/api/traces/"))
	case strings.HasPrefix(path, "/api/v3/traces/"):
		names := []any{}
		for _, each := range f.of(strings.TrimPrefix(path, "/api/v3/traces/")) {
			names = append(names, map[string]any{"name": unless(f.has("another in v3"), each.Name, "a name")})
		}
		scopes := []any{map[string]any{"spans": names}}
		_ = json.NewEncoder(writer).Encode(map[string]any{"result": map[string]any{
			"resourceSpans": []any{map[string]any{"scopeSpans": scopes}},
		}})
	case path == "/api/sampling":
		rate := unless(query.Get("service") == "crosscloud-rare" && !f.has("one rate for all"), 0.5, 0.25)
		_ = json.NewEncoder(writer).Encode(map[string]any{"probabilisticSampling": map[string]any{"samplingRate": rate}})
	default:
		http.NotFound(writer, request)
	}
}

func (f *fake) metrics(writer io.Writer) {
	fmt.Fprintf(writer, "jaeger_build_info{revision=\"\",version=%q} 1\n", unless(f.has("another version"), "v1.76.0", ""))
	count := 0
	for _, each := range f.spans {
		if each.service == "crosscloud-counted" {
			count++
		}
	}
	saved := unless(f.has("saves nothing"), count, 0)
	fmt.Fprintf(writer, "jaeger_collector_spans_received_total{debug=\"false\",svc=\"crosscloud-counted\"} %d\n", count)
	fmt.Fprintf(writer, "jaeger_collector_spans_saved_by_svc_total{svc=\"crosscloud-counted\"} %d\n", saved)
	fmt.Fprintf(writer, "jaeger_collector_spans_saved_by_svc_total{svc=\"other\"} 5\n")
}

func (f *fake) take(writer http.ResponseWriter, request *http.Request) {
	var sent struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []attribute }
			ScopeSpans []struct{ Spans []span }
		}
	}
	if err := json.NewDecoder(request.Body).Decode(&sent); err != nil && !f.has("takes anything") {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	if f.has("OTLP is off") {
		http.NotFound(writer, request)
		return
	}
	for _, resource := range sent.ResourceSpans {
		for _, each := range resource.ScopeSpans[0].Spans {
			each.service = resource.Resource.Attributes[0].Value["stringValue"].(string)
			if f.has("loses the large") && len(sent.ResourceSpans) > 100 && len(f.spans)%100 == 0 {
				continue
			}
			f.spans = append(f.spans, each)
		}
	}
}

// takeGRPC reads the message as far as ids, names and times go: all fields are where export puts them.
func (f *fake) takeGRPC(writer http.ResponseWriter, request *http.Request) {
	text, _ := io.ReadAll(request.Body)
	size := int(binary.BigEndian.Uint32(text[1:5]))
	resource := field(field(text[5:5+size], 1), 1)
	inner := field(field(field(text[5:5+size], 1), 2), 2)
	took := int64(binary.LittleEndian.Uint64(inner[len(inner)-8:]) - binary.LittleEndian.Uint64(inner[len(inner)-17:]))
	f.spans = append(f.spans, span{
		TraceID: fmt.Sprintf("%x", field(inner, 1)), SpanID: fmt.Sprintf("%x", field(inner, 2)),
		Name: string(field(inner, 5)), Kind: kindServer, End: took,
		service: string(field(field(field(resource, 1), 2), 1)),
	})
	writer.Header().Set("Content-Type", "application/grpc")
	writer.Header().Set("Trailer", "Grpc-Status")
	writer.WriteHeader(http.StatusOK)
	writer.Header().Set("Grpc-Status", unless(f.has("gRPC fails") || request.ProtoMajor != 2, "0", "12"))
}

// field is the first field of that number in a message, among those with a length before them.
func field(text []byte, number byte) []byte {
	for len(text) > 0 && text[0]&7 == 2 {
		length, size := binary.Uvarint(text[1:])
		value := text[1+size : 1+size+int(length)]
		if text[0]>>3 == number {
			return value
		}
		text = text[1+size+int(length):]
	}
	return nil
}

func (f *fake) of(trace string) []span {
	return slices.DeleteFunc(slices.Clone(f.spans), func(each span) bool { return each.TraceID != trace })
}

func (f *fake) trace(writer http.ResponseWriter, id string) {
	spans := f.of(id)
	if len(id) != 32 {
		http.Error(writer, `{"errors": []}`, unless(f.has("takes any id"), http.StatusBadRequest, http.StatusNotFound))
		return
	}
	if len(spans) == 0 {
		http.Error(writer, `{"errors": []}`, unless(f.has("no 404"), http.StatusNotFound, http.StatusOK))
		return
	}
	var got []any
	processes := map[string]any{}
	for _, each := range spans {
		processes[each.service] = map[string]any{"serviceName": each.service}
		tags := []any{}
		for _, attribute := range each.Attributes {
			for kind, value := range attribute.Value {
				tags = append(tags, map[string]any{"key": attribute.Key, "type": kind, "value": value})
			}
		}
		kind := map[int]string{kindServer: "server", kindClient: "client"}[each.Kind]
		tags = append(tags, map[string]any{"key": "span.kind", "value": unless(f.has("kind lost"), kind, "internal")})
		if each.Status.Code == statusError && !f.has("error lost") {
			tags = append(tags, map[string]any{"key": "error", "value": true})
		}
		references := []any{}
		if each.ParentID != "" && !f.has("parents lost") {
			references = append(references, map[string]any{"refType": "CHILD_OF", "traceID": id, "spanID": each.ParentID})
		}
		got = append(got, map[string]any{
			"spanID": each.SpanID, "operationName": each.Name, "references": references, "processID": each.service,
			"duration": (each.End-each.Start)/1000 + unless(f.has("duration wrong"), 0, int64(1)),
			"tags":     unless(f.has("tags lost"), tags, tags[len(tags)-1:]),
		})
	}
	if f.has("loses spans") {
		got = got[:1]
	}
	reply(writer, []any{map[string]any{"traceID": id, "spans": got, "processes": processes}})
}

func (f *fake) search(writer http.ResponseWriter, query url.Values) {
	id := f.spans[0].TraceID
	tags := query.Get("tags")
	ids := []any{}
	switch {
	case strings.Contains(tags, "crosscloud.order") && !strings.Contains(tags, id) && !f.has("finds everything"):
	case strings.Contains(tags, "error") && f.has("no error found"):
	case query.Get("minDuration") == "260ms" && !f.has("finds every duration"):
	case query.Get("minDuration") == "200ms" && f.has("finds no duration"):
	default:
		ids = append(ids, map[string]any{"traceID": id})
	}
	reply(writer, unless(f.has("finds nothing"), ids, nil))
}

func reply(writer http.ResponseWriter, data any) {
	_ = json.NewEncoder(writer).Encode(map[string]any{"data": data})
}

func start(t *testing.T, fault string) target {
	t.Helper()
	fake := &fake{fault: fault}
	server := httptest.NewUnstartedServer(fake)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return target{
		query: server.URL, otlpHTTP: server.URL, otlpGRPC: server.URL, sampling: server.URL, admin: server.URL,
		version: "v1.76.0",
		rates:   map[string]float64{"crosscloud-rare": 0.25, "*": 0.5},
	}
}

func examine(target target) *report {
	return run("jaeger", target.answers(0), target.checks()...)
}

func TestWhatWorksPasses(t *testing.T) {
	target := start(t, "")
	if report := examine(target); report.failed() != 0 || len(report.cases) != 15 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestEveryFaultIsFoundByItsCheck(t *testing.T) {
	settling = 0
	everyFaultIsFound(t, map[string]string{
		"another version":      "the version that was built",
		"OTLP is off":          "spans over OTLP/HTTP",
		"loses spans":          "spans over OTLP/HTTP",
		"parents lost":         "parents, tags and durations are kept",
		"tags lost":            "parents, tags and durations are kept",
		"kind lost":            "parents, tags and durations are kept",
		"error lost":           "parents, tags and durations are kept",
		"duration wrong":       "parents, tags and durations are kept",
		"service lost":         "services and operations",
		"another operation":    "services and operations",
		"finds everything":     "search by tag",
		"finds nothing":        "search by tag",
		"no error found":       "search by tag",
		"finds every duration": "search by duration",
		"finds no duration":    "search by duration",
		"no dependencies":      "dependencies",
		"another in v3":        "API v3 has the same spans",
		"gRPC fails":           "a span over OTLP/gRPC",
		"loses the large":      "a large trace is whole",
		"saves nothing":        "metrics count the spans",
		"no 404":               "a trace that is not there",
		"takes any id":         "a trace that is not there",
		"takes anything":       "a request that is none",
		"one rate for all":     "sampling strategies",
	}, func(t *testing.T, fault string) *report {
		return examine(start(t, fault))
	})
}

func TestAServerThatIsNotThereFailsOneCheck(t *testing.T) {
	target := start(t, "")
	target.admin = "http://127.0.0.1:1"
	if found := examine(target).found(); len(found) != 1 || found["ready"] == "" {
		t.Errorf("%v", found)
	}
}

func TestTheEnvironmentSaysWhatIsTested(t *testing.T) {
	variables := map[string]string{
		"CROSSCLOUD_RELEASE":            "jaeger",
		"CROSSCLOUD_VERSION":            "v1.76.0",
		"JAEGER_SERVICE_HOST":           "10.96.3.4",
		"JAEGER_SERVICE_PORT_QUERY":     "16686",
		"JAEGER_SERVICE_PORT_OTLP_HTTP": "4318",
		"JAEGER_SERVICE_PORT_OTLP_GRPC": "4317",
		"JAEGER_SERVICE_PORT_SAMPLING":  "14268",
		"JAEGER_SERVICE_PORT_ADMIN":     "14269",
		"SAMPLING":                      "crosscloud-rare=0.25,*=0.5",
	}
	found, err := fromEnvironment(func(name string) string { return variables[name] })
	if err != nil || found.query != "http://10.96.3.4:16686" || found.rates["*"] != 0.5 {
		t.Errorf("%+v %v", found, err)
	}
	everyVariableIsNeeded(t, variables, fromEnvironment)
}

func TestSpansOfATestAreOfTheirTime(t *testing.T) {
	for _, each := range order() {
		if took := time.Duration(each.End - each.Start); took <= 0 || took > time.Second {
			t.Errorf("%s took %s", each.Name, took)
		}
	}
}
