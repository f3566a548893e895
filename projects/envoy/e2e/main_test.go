package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A proxy answers as Envoy should in front of its backends, except for the fault that a test gives it.
type proxy struct {
	sync.Mutex
	fault    string
	counters map[string]int
	tries    map[string]int
	held     map[string]int
	released chan struct{}
}

func (p *proxy) front(writer http.ResponseWriter, request *http.Request) {
	p.Lock()
	defer p.Unlock()
	p.counters["http.front.downstream_rq_total"]++
	backend := func(name, path string, status int, edit func(*seen)) {
		p.counters["cluster."+name+".upstream_rq_total"]++
		if p.fault != "counts nothing" {
			p.counters["cluster."+name+".upstream_rq_200"]++
		}
		answer := seen{Backend: name, Path: path, Host: request.Host, Headers: request.Header}
		answer.Headers.Set("X-Request-Id", "1")
		if edit != nil {
			edit(&answer)
		}
		writer.WriteHeader(status)
		_ = json.NewEncoder(writer).Encode(answer)
	}
	uri, key := request.URL.RequestURI(), request.FormValue("key")
	path, number := request.URL.Path, p.counters["http.front.downstream_rq_total"]
	switch {
	case request.Host == "other.example.test" && p.fault != "one host":
		fmt.Fprint(writer, "the other host")
	case path == "/blue/held":
		fmt.Fprint(writer, p.held[key])
	case path == "/blue/release":
		close(p.released)
	case strings.HasPrefix(path, "/blue/"):
		backend("blue", strings.TrimPrefix(uri, "/blue"), 200, nil)
	case strings.HasPrefix(path, "/green/"):
		if p.fault == "prefix stays" {
			uri = "/green" + uri
		}
		backend("green", strings.TrimPrefix(uri, "/green"), 200, nil)
	case path == "/by-header":
		exact := p.fault != "prefix of header" || request.Header.Get("X-Backend") == ""
		if value := request.Header.Get("X-Backend"); value == "green" || !exact {
			backend("green", uri, 200, nil)
		} else {
			backend("blue", uri, 200, nil)
		}
	case path == "/weighted":
		if number%4 == 0 && p.fault != "all blue" {
			backend("green", uri, 200, nil)
		} else {
			backend("blue", uri, 200, nil)
		}
	case strings.HasPrefix(path, "/retry/fail/"):
		times, _ := strconv.Atoi(strings.TrimPrefix(path, "/retry/fail/"))
		most := map[string]int{"no retries": 0, "one retry more": retries + 1}
		allowed, other := most[p.fault]
		if !other {
			allowed = retries
		}
		for range allowed {
			if p.tries[key]++; p.tries[key] > times {
				p.tries[key]--
				break
			}
			p.counters["cluster.flaky.upstream_rq_retry"]++
		}
		p.tries[key]++
		status := 200
		if p.tries[key] <= times {
			status = 503
			p.counters["cluster.flaky.upstream_rq_retry_limit_exceeded"]++
		} else {
			p.counters["cluster.flaky.upstream_rq_retry_success"]++
		}
		backend("flaky", uri, status, func(s *seen) { s.Attempt = p.tries[key] })
	case path == "/timeout/hold":
		p.held[key]++
		p.counters["cluster.blue.upstream_rq_timeout"]++
		writer.WriteHeader(map[bool]int{true: 200, false: 504}[p.fault == "no timeout"])
	case path == "/narrow/hold":
		p.held[key]++
		p.Unlock()
		<-p.released
		p.Lock()
		p.held[key]--
		backend("narrow", uri, 200, nil)
	case path == "/narrow/":
		waiting := false
		for key, count := range p.held {
			waiting = waiting || strings.HasPrefix(key, "narrow") && count > 0
		}
		if waiting && p.fault != "lets through" {
			writer.Header().Set("X-Envoy-Overloaded", "true")
			writer.WriteHeader(503)
			return
		}
		backend("narrow", uri, 200, nil)
	case path == "/pool":
		if p.fault == "sends to the ill" && number%2 == 0 {
			backend("ill", uri, 200, nil)
		} else {
			backend("green", uri, 200, nil)
		}
	case path == "/headers":
		writer.Header().Set("X-Served-By", "envoy")
		if p.fault == "secret passes" {
			writer.Header().Set("X-Backend-Secret", "from blue")
		}
		backend("blue", uri, 200, func(s *seen) {
			s.Host = "rewritten.example.test"
			s.Headers.Set("X-Added", "by envoy")
			s.Headers.Set("X-Overwritten", "envoy")
			s.Headers.Del("X-Removed")
			switch p.fault {
			case "host stays":
				s.Host = "front.example.test"
			case "header stays":
				s.Headers.Set("X-Removed", "1")
			case "appends":
				s.Headers.Add("X-Overwritten", "client")
			}
		})
	case path == "/old":
		where := map[bool]string{true: "/blue/", false: "/blue/new"}[p.fault == "wrong redirect"]
		writer.Header().Set("Location", "http://"+request.Host+where)
		writer.WriteHeader(301)
	default:
		p.counters["http.front.no_route"]++
		if p.fault == "catches all" {
			backend("blue", uri, 200, nil)
			return
		}
		writer.WriteHeader(404)
	}
}

func (p *proxy) admin(writer http.ResponseWriter, request *http.Request) {
	p.Lock()
	defer p.Unlock()
	say := func(text string) { fmt.Fprint(writer, text) }
	if p.fault == "no circuit" {
		p.counters["cluster.narrow.circuit_breakers.default.rq_open"] = 0
	}
	switch request.URL.Path {
	case "/ready":
		say(map[bool]string{true: "PRE_INITIALIZING\n", false: "LIVE\n"}[p.fault == "starting"])
	case "/server_info":
		version := map[string]string{"other version": "1.39.0/Clean/RELEASE", "dirty": "1.40.0/Modified/DEBUG"}[p.fault]
		say(fmt.Sprintf(`{"version":"9e5580933739/%s/BoringSSL"}`,
			or(version, "1.40.0/Clean/RELEASE")))
	case "/stats":
		filter := regexp.MustCompile(request.FormValue("filter"))
		var found []string
		for name, value := range p.counters {
			if filter.MatchString(name) {
				found = append(found, fmt.Sprintf(`{"name":%q,"value":%d}`, name, value))
			}
		}
		say(fmt.Sprintf(`{"stats":[%s]}`, strings.Join(found, ",")))
	case "/stats/prometheus":
		value := p.counters["cluster.blue.upstream_rq_total"]
		if p.fault == "other numbers" {
			value++
		}
		say(fmt.Sprintf("envoy_cluster_upstream_rq_total{envoy_cluster_name=\"blue\"} %d\n", value))
	case "/clusters":
		host := `{"address":{"socket_address":{"port_value":%d}},"health_status":{"failed_active_health_check":%t}}`
		hosts := fmt.Sprintf(host, 8082, false) + "," + fmt.Sprintf(host, 8083, p.fault != "all healthy")
		say(fmt.Sprintf(`{"cluster_statuses":[{"name":"pool","host_statuses":[%s]}]}`, hosts))
	case "/config_dump":
		var routes []string
		for _, name := range strings.Fields("blue green header weighted retry timeout narrow pool headers redirect") {
			if p.fault != "no route "+name {
				routes = append(routes, fmt.Sprintf(`{"name":%q}`, name))
			}
		}
		say(fmt.Sprintf(`{"configs":[{"static_route_configs":[{"route_config":{"virtual_hosts":[{"routes":[%s]}]}}]}]}`,
			strings.Join(routes, ",")))
	}
}

func start(t *testing.T, fault string) target {
	t.Helper()
	proxy := &proxy{fault: fault, tries: map[string]int{}, held: map[string]int{}, released: make(chan struct{})}
	proxy.counters = map[string]int{"cluster.narrow.circuit_breakers.default.rq_open": 1, "http.front.no_route": 0}
	for _, name := range []string{"retry", "retry_success", "retry_limit_exceeded", "timeout", "total"} {
		for _, cluster := range []string{"blue", "green", "flaky"} {
			proxy.counters["cluster."+cluster+".upstream_rq_"+name] = 0
		}
	}
	front := httptest.NewServer(http.HandlerFunc(proxy.front))
	admin := httptest.NewServer(http.HandlerFunc(proxy.admin))
	t.Cleanup(func() { front.Close(); admin.Close() })
	return target{strings.TrimPrefix(front.URL, "http://"), strings.TrimPrefix(admin.URL, "http://"), "v1.40.0", "test"}
}

func TestAProxyThatDoesItPasses(t *testing.T) {
	target := start(t, "")
	report := run("envoy", target.ready(), target.checks()...)
	if report.failed() != 0 || len(report.cases) != 17 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestEveryFaultIsFoundByItsCheckAlone(t *testing.T) {
	for fault, check := range map[string]string{
		"other version":    "version",
		"dirty":            "version",
		"prefix stays":     "routing by path",
		"prefix of header": "routing by header",
		"one host":         "routing by host",
		"all blue":         "routing by weight",
		"catches all":      "no route",
		"wrong redirect":   "redirect",
		"secret passes":    "headers",
		"host stays":       "headers",
		"header stays":     "headers",
		"appends":          "headers",
		"one retry more":   "retries come to an end",
		"no timeout":       "timeout",
		"lets through":     "circuit breaker",
		"no circuit":       "circuit breaker",
		"sends to the ill": "health checks",
		"all healthy":      "health checks",
		"counts nothing":   "statistics count the requests",
		"other numbers":    "statistics for Prometheus",
		"no route retry":   "configuration dump",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			target := start(t, fault)
			for _, result := range run("envoy", target.ready(), target.checks()...).cases {
				if failed := result.Failure != nil; failed != (result.Name == check) {
					t.Errorf("%s: failed is %t", result.Name, failed)
				}
			}
		})
	}
}

func TestWithoutRetriesBothChecksOfThemFail(t *testing.T) {
	target := start(t, "no retries")
	if report := run("envoy", target.ready(), target.checks()...); report.failed() != 2 {
		t.Errorf("%d checks failed", report.failed())
	}
}

func TestTheEnvironmentSaysWhereTheServiceIs(t *testing.T) {
	environment := map[string]string{
		"CROSSCLOUD_RELEASE":               "envoy-v1-40-0",
		"ENVOY_TAG":                        "v1.40.0",
		"ENVOY_V1_40_0_SERVICE_HOST":       "10.96.3.4",
		"ENVOY_V1_40_0_SERVICE_PORT_HTTP":  "80",
		"ENVOY_V1_40_0_SERVICE_PORT_ADMIN": "9901",
	}
	found, err := fromEnvironment(func(name string) string { return environment[name] })
	if err != nil || found.front != "10.96.3.4:80" || found.admin != "10.96.3.4:9901" {
		t.Errorf("%+v %v", found, err)
	}
	everyVariableIsNeeded(t, environment, fromEnvironment)
}
