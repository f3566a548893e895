package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fake is a Prometheus and an Alertmanager that answer rightly, except for the fault that a test gives them.
type fake struct {
	fault    string
	mutex    sync.Mutex
	queries  int
	pushed   float64
	loaded   time.Time
	silenced bool
	began    time.Time
	version  string
	kept     []stored           // what came over OTLP to stay
	scraped  map[string]float64 // since when it has scraped which version of itself, in seconds
	silences []map[string]any   // that are to last
}

// A stored sample, as it was pushed.
type stored struct {
	name   string
	labels map[string]any
	point
}

const silence = "5f0c"

func (f *fake) has(fault string) bool {
	return f.fault == fault
}

func (f *fake) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	switch path, _ := strings.CutPrefix(request.URL.Path, "/api/v1/"); path {
	case "/-/ready":
		fmt.Fprintln(writer, "Ready.")
	case "status/buildinfo":
		data(writer, map[string]any{"version": unless(f.has("API tells another version"), "0.315.0", "0.314.0")})
	case "targets":
		data(writer, map[string]any{"activeTargets": f.targets()})
	case "query":
		f.query(writer, request)
	case "query_range":
		f.queryRange(writer, request)
	case "metadata":
		kind := unless(f.has("metadata of another type"), "gauge", "counter")
		data(writer, map[string]any{"node_uname_info": []any{map[string]any{"type": kind, "help": "Labeled."}}})
	case "otlp/v1/metrics":
		found, err := pushed(request.Body)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
		}
		if f.has("OTLP is off") {
			http.NotFound(writer, request)
		}
		if f.pushed = found.value; found.name == "crosscloud.kept" {
			f.kept = append(f.kept, found)
		}
	case "/federate":
		labels := unless(f.has("federated without external labels"), `release="prom-head",`, "")
		fmt.Fprintf(writer, "# TYPE up untyped\nup{%sjob=\"prometheus\"} 1 1700000000000\n", labels)
	case "status/runtimeinfo":
		data(writer, map[string]any{"reloadConfigSuccess": !f.has("reload fails"), "lastConfigTime": f.loaded, "startTime": f.began})
	case "/-/reload":
		if !f.has("reload does nothing") {
			f.loaded = time.Now()
		}
	case "rules":
		state := unless(f.has("rule is pending"), "firing", "pending")
		rule := map[string]any{"name": alertName, "health": "ok", "state": state}
		data(writer, map[string]any{"groups": []any{map[string]any{"rules": []any{rule}}}})
	default:
		f.alertmanager(writer, request)
	}
}

func (f *fake) targets() []any {
	var found []any
	for _, job := range jobs {
		target := map[string]any{
			"scrapePool":       job,
			"health":           unless(f.has("target is down: "+job), "up", "down"),
			"discoveredLabels": map[string]any{"__meta_kubernetes_namespace": unless(f.has("another namespace"), "cell", "other")},
		}
		if !f.has("not discovered: " + job) {
			found = append(found, target)
		}
		if f.has("two targets") && job == "prometheus" {
			found = append(found, target)
		}
	}
	return found
}

// value is the result of an instant query: labels and value of its one series.
func (f *fake) value(expression string) (map[string]any, float64, bool) {
	for _, known := range expressions {
		if known.text == expression {
			return nil, unless(f.has("wrong sum") && known.value == 512, known.value, 64), true
		}
	}
	for _, job := range jobs {
		if expression == fmt.Sprintf("up{job=%q} == 1", job) {
			return nil, 1, !f.has("up is 0: " + job)
		}
		if strings.HasSuffix(expression, fmt.Sprintf("_build_info{job=%q}", job)) {
			version := map[string]string{"prometheus": "0.315.0", "alertmanager": "0.28.1", "node-exporter": "1.12.1"}[job]
			return map[string]any{"version": unless(f.has("another version: "+job), version, "0.0.1")}, 1, true
		}
	}
	switch {
	case expression == "1":
		return nil, 1, true
	case expression == "node_uname_info":
		machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
		return map[string]any{
			"sysname": unless(f.has("another system"), "Linux", "Darwin"), "machine": machine, "release": "6.1", "node": "a",
		}, 1, !f.has("no uname")
	case strings.HasPrefix(expression, "abs("):
		return nil, 60, f.has("clock is late")
	case strings.HasPrefix(expression, "prometheus_http_requests_total"):
		return nil, unless(f.has("counter stands still"), float64(f.queries), 7), true
	case expression == recorded:
		return nil, unless(f.has("wrong recorded value"), recordedValue, 41.0), true
	case strings.HasPrefix(expression, "crosscloud_pushed_bytes"):
		return nil, unless(f.has("another sample"), f.pushed, f.pushed+1), !f.has("OTLP is lost")
	case strings.HasPrefix(expression, "ALERTS{"):
		return nil, 1, !f.has("no ALERTS")
	}
	return nil, 0, false
}

func (f *fake) query(writer http.ResponseWriter, request *http.Request) {
	expression := request.FormValue("query")
	f.queries++
	if strings.HasPrefix(expression, "crosscloud_kept{") {
		data(writer, map[string]any{"resultType": "matrix", "result": f.keptSeries(expression)})
		return
	}
	if expression == `prometheus_build_info{job="prometheus"}` && request.FormValue("time") != "" {
		data(writer, map[string]any{"resultType": "vector", "result": f.buildsAt(request.FormValue("time"))})
		return
	}
	if expression == "sum(" && !f.has("parses anything") {
		http.Error(writer, `{"status": "error", "error": "parse error: unclosed left parenthesis"}`, http.StatusBadRequest)
		return
	}
	at, err := strconv.ParseFloat(request.FormValue("time"), 64)
	if err != nil {
		at = float64(time.Now().UnixMilli()) / 1000
	}
	labels, value, ok := f.value(expression)
	if f.has("ranges say something else") && err == nil {
		value++
	}
	pair := []any{at, strconv.FormatFloat(value, 'f', -1, 64)}
	if expression == "1" || expression == "2 ^ 3 ^ 2" {
		data(writer, map[string]any{"resultType": "scalar", "result": pair})
		return
	}
	result := []any{}
	if ok {
		result = append(result, map[string]any{"metric": labels, "value": pair})
	}
	data(writer, map[string]any{"resultType": "vector", "result": result})
}

// pushed is the one sample of an OTLP request.
func pushed(body io.Reader) (stored, error) {
	var request struct {
		ResourceMetrics []struct {
			ScopeMetrics []struct {
				Metrics []struct {
					Name  string
					Gauge struct {
						DataPoints []struct {
							AsDouble     float64
							TimeUnixNano string
							Attributes   []struct {
								Key   string
								Value struct{ StringValue string }
							}
						}
					}
				}
			}
		}
	}
	if err := json.NewDecoder(body).Decode(&request); err != nil {
		return stored{}, err
	}
	metric := request.ResourceMetrics[0].ScopeMetrics[0].Metrics[0]
	sent := metric.Gauge.DataPoints[0]
	nanoseconds, err := strconv.ParseInt(sent.TimeUnixNano, 10, 64)
	labels := map[string]any{}
	for _, attribute := range sent.Attributes {
		labels[attribute.Key] = attribute.Value.StringValue
	}
	// Prometheus keeps milliseconds.
	return stored{metric.Name, labels, point{float64(nanoseconds/1e6) / 1e3, sent.AsDouble}}, err
}

// keptSeries are the series of what was stored, as far as the expression's labels are theirs.
func (f *fake) keptSeries(expression string) []any {
	result := []any{}
	for _, each := range f.kept {
		if strings.Contains(expression, fmt.Sprintf("{namespace=%q,stop=%q}[", each.labels["namespace"], each.labels["stop"])) {
			pair := []any{each.time, strconv.FormatFloat(each.value, 'f', -1, 64)}
			result = append(result, map[string]any{"metric": each.labels, "values": []any{pair}})
		}
	}
	return result
}

// buildsAt are the versions of itself that it has scraped by a time.
func (f *fake) buildsAt(text string) []any {
	at, _ := strconv.ParseFloat(text, 64)
	result := []any{}
	for version, since := range f.scraped {
		if since <= at {
			result = append(result, map[string]any{"metric": map[string]any{"version": version}, "value": []any{at, "1"}})
		}
	}
	return result
}

func (f *fake) queryRange(writer http.ResponseWriter, request *http.Request) {
	start, _ := strconv.ParseFloat(request.FormValue("start"), 64)
	end, _ := strconv.ParseFloat(request.FormValue("end"), 64)
	_, value, _ := f.value(request.FormValue("query"))
	var values []any
	for at := start + unless(f.has("a range lacks a point"), 0.0, 1); at <= end; at++ {
		values = append(values, []any{at, strconv.FormatFloat(value, 'f', -1, 64)})
	}
	data(writer, map[string]any{"resultType": "matrix", "result": []any{map[string]any{"values": values}}})
}

func (f *fake) alert() map[string]any {
	return map[string]any{
		"labels": map[string]string{
			"alertname": alertName, "severity": "page", "job": "prometheus", "namespace": "cell",
			"release": unless(f.has("no external label"), "prom-head", ""),
		},
		"annotations": map[string]string{"summary": unless(f.has("no template"), "prometheus is 1", "{{ $value }}")},
	}
}

func (f *fake) alertmanager(writer http.ResponseWriter, request *http.Request) {
	switch request.Method + " " + request.URL.Path {
	case "GET /api/v2/status":
		version := unless(f.has("Alertmanager's API tells another version"), "0.28.1", "0.27.0")
		reply(writer, map[string]any{"versionInfo": map[string]any{"version": version}})
	case "GET /api/v2/alerts":
		alert := f.alert()
		alert["status"] = map[string]any{"state": "active", "silencedBy": []string{}}
		if f.silenced && !f.has("silences nothing") {
			alert["status"] = map[string]any{"state": "suppressed", "silencedBy": []string{silence}}
		}
		reply(writer, unless(f.has("no alert"), []any{alert}, []any{}))
	case "GET /api/v2/silences":
		// As Alertmanager takes a filter: what is silenced by another kind of matcher is not meant.
		reply(writer, unless(request.FormValue("filter") != "alertname=~"+nobody, f.silences, nil))
	case "POST /api/v2/silences":
		var asked struct {
			Comment  string
			Matchers []struct{ Value string }
		}
		_ = json.NewDecoder(request.Body).Decode(&asked)
		if asked.Matchers[0].Value == nobody {
			f.silences = append(f.silences, map[string]any{
				"id": silence, "comment": asked.Comment, "status": map[string]any{"state": "active"},
			})
		} else {
			f.silenced = true
		}
		reply(writer, map[string]any{"silenceID": silence})
	case "DELETE /api/v2/silence/" + silence:
		f.silenced = f.has("silences for ever")
	default:
		http.NotFound(writer, request)
	}
}

// deliver sends the alert as Alertmanager does: to the receiver as a proxy.
func (f *fake) deliver(inbox *inbox) {
	text, _ := json.Marshal(map[string]any{
		"version": "4", "status": "firing", "receiver": unless(f.has("another receiver"), "crosscloud", "default"),
		"alerts": unless(f.has("nothing in it"), []any{f.alert()}, []any{}),
	})
	path := unless(f.has("another path"), "/alerts", "/nowhere")
	request := httptest.NewRequest(http.MethodPost, "http://receiver.crosscloud.test"+path, strings.NewReader(string(text)))
	if !f.has("not delivered") {
		inbox.ServeHTTP(httptest.NewRecorder(), request)
	}
}

func data(writer http.ResponseWriter, value any) {
	reply(writer, map[string]any{"status": "success", "data": value})
}

func reply(writer http.ResponseWriter, value any) {
	_ = json.NewEncoder(writer).Encode(value)
}

func start(t *testing.T, fault string) target {
	t.Helper()
	fake := &fake{fault: fault, loaded: time.Now().Add(-time.Minute)}
	target := serve(t, fake)
	fake.deliver(target.inbox)
	return target
}

func serve(t *testing.T, fake *fake) target {
	t.Helper()
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return target{
		prometheus:   server.URL,
		alertmanager: server.URL,
		namespace:    "cell",
		release:      "prom-head",
		versions:     map[string]string{"prometheus": "0.315.0", "alertmanager": "0.28.1", "node-exporter": "1.12.1"},
		inbox:        newInbox(),
	}
}

func examine(target target) *report {
	return run("prometheus", target.answers(0), target.checks()...)
}

func TestWhatWorksPasses(t *testing.T) {
	target := start(t, "")
	if report := examine(target); report.failed() != 0 || len(report.cases) != 20 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestEveryFaultIsFoundByItsCheck(t *testing.T) {
	settling = 0
	everyFaultIsFound(t, map[string]string{
		"API tells another version":                "the APIs tell the versions that were built",
		"Alertmanager's API tells another version": "the APIs tell the versions that were built",
		"not discovered: node-exporter":            "node-exporter is found and scraped",
		"target is down: node-exporter":            "node-exporter is found and scraped",
		"up is 0: prometheus":                      "prometheus is found and scraped",
		"another namespace":                        "alertmanager is found and scraped",
		"two targets":                              "prometheus is found and scraped",
		"another version: node-exporter":           "node-exporter has the version that was built",
		"another version: alertmanager":            "alertmanager has the version that was built",
		"no uname":                                 "node_exporter tells of its node",
		"another system":                           "node_exporter tells of its node",
		"clock is late":                            "node_exporter tells of its node",
		"counter stands still":                     "a counter counts",
		"wrong sum":                                "PromQL",
		"parses anything":                          "PromQL",
		"wrong recorded value":                     "instant and range queries agree",
		"ranges say something else":                "instant and range queries agree",
		"a range lacks a point":                    "instant and range queries agree",
		"metadata of another type":                 "metadata",
		"OTLP is off":                              "OTLP samples are kept",
		"OTLP is lost":                             "OTLP samples are kept",
		"another sample":                           "OTLP samples are kept",
		"federated without external labels":        "federation",
		"reload fails":                             "a reload is taken",
		"reload does nothing":                      "a reload is taken",
		"rule is pending":                          "the rule fires",
		"no ALERTS":                                "the rule fires",
		"no alert":                                 "Alertmanager has the alert",
		"no external label":                        "Alertmanager has the alert",
		"no template":                              "the alert is delivered",
		"not delivered":                            "the alert is delivered",
		"another path":                             "the alert is delivered",
		"another receiver":                         "the alert is delivered",
		"nothing in it":                            "the alert is delivered",
		"silences nothing":                         "a silence suppresses the alert",
		"silences for ever":                        "a silence suppresses the alert",
	}, func(t *testing.T, fault string) *report {
		return examine(start(t, fault))
	})
}

func TestPrometheusSaysItsReleaseAndNotItsModulesVersion(t *testing.T) {
	for version, want := range map[string]string{
		"0.315.0": "3.15.0", "0.305.1-rc.0": "3.5.1-rc.0", "3.15.0": "3.15.0", "0.54.1": "0.54.1", "abc": "abc",
	} {
		if got := release(version); got != want {
			t.Errorf("%s is %s", version, got)
		}
	}
}

func TestAServerThatIsNotThereFailsOneCheck(t *testing.T) {
	target := start(t, "")
	target.prometheus = "http://127.0.0.1:1"
	if found := examine(target).found(); len(found) != 1 || found["ready"] == "" {
		t.Errorf("%v", found)
	}
}

func TestTheEnvironmentSaysWhatIsTested(t *testing.T) {
	variables := map[string]string{
		"CROSSCLOUD_RELEASE":                       "prom-head",
		"CROSSCLOUD_NAMESPACE":                     "cell",
		"PROM_HEAD_SERVICE_HOST":                   "10.96.3.4",
		"PROM_HEAD_SERVICE_PORT_HTTP":              "9090",
		"PROM_HEAD_ALERTMANAGER_SERVICE_HOST":      "10.96.3.5",
		"PROM_HEAD_ALERTMANAGER_SERVICE_PORT_HTTP": "9093",
		"PROMETHEUS_TAG":                           "v0.315.0",
		"ALERTMANAGER_TAG":                         "v0.28.1",
		"NODE_EXPORTER_TAG":                        "v1.12.1",
	}
	for stop, known := range map[string]bool{"": true, "back": true, "elsewhere": false} {
		found, err := fromEnvironment(func(name string) string {
			return unless(name == "CROSSCLOUD_UPGRADE", variables[name], stop)
		})
		if (err == nil) != known || known && found.stop != stop {
			t.Errorf("stop %q: %+v %v", stop, found, err)
		}
	}
	found, err := fromEnvironment(func(name string) string { return variables[name] })
	if err != nil || found.prometheus != "http://10.96.3.4:9090" || found.alertmanager != "http://10.96.3.5:9093" ||
		found.versions["node-exporter"] != "1.12.1" || found.versions["prometheus"] != "3.15.0" {
		t.Errorf("%+v %v", found, err)
	}
	everyVariableIsNeeded(t, variables, fromEnvironment)
}
