package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	counted      = 20               // requests whose number must be found again in the statistics
	spread       = 400              // requests over two weighted clusters
	share        = 25               // per cent of them for the backend "green"
	retries      = 3                // as the chart's value says
	countingTime = 5 * time.Second  // in which Envoy has counted a request that it answered
	limit        = 20 * time.Second // for one answer
)

// An answer as it came from Envoy, and what the backend says it saw.
type answer struct {
	status int
	header http.Header
	text   []byte
	seen   seen
}

type seen struct {
	Backend string
	Path    string
	Host    string
	Headers http.Header
	Attempt int
}

// ask sends a GET request and follows no redirect. "Host" among the headers is the request's host.
func (t target) ask(path string, headers map[string]string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.front+path, nil)
	if err != nil {
		return answer{}, err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	request.Host = headers["Host"]
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, readable))
	if err != nil {
		return answer{}, err
	}
	return answer{status: response.StatusCode, header: response.Header, text: text}, nil
}

// backend wants an answer with that status, which a backend gave.
func (t target) backend(path string, status int, headers map[string]string) (answer, error) {
	got, err := t.ask(path, headers)
	if err != nil {
		return got, err
	}
	if got.status != status {
		return got, fmt.Errorf("%s: status %d, and not %d: %.200s", path, got.status, status, got.text)
	}
	if err := json.Unmarshal(got.text, &got.seen); err != nil || got.seen.Backend == "" {
		return got, fmt.Errorf("%s: not an answer of a backend: %.200s", path, got.text)
	}
	return got, nil
}

func (t target) checks() []check {
	return []check{
		{"version", t.version},
		{"routing by path", t.byPath},
		{"routing by header", t.byHeader},
		{"routing by host", t.byHost},
		{"routing by weight", t.byWeight},
		{"no route", t.noRoute},
		{"redirect", t.redirect},
		{"headers", t.headers},
		{"retries", t.retried},
		{"retries come to an end", t.givenUp},
		{"timeout", t.timeout},
		{"circuit breaker", t.circuitBreaker},
		{"health checks", t.healthChecks},
		{"statistics count the requests", t.statistics},
		{"statistics for Prometheus", t.prometheus},
		{"configuration dump", t.configuration},
	}
}

func (t target) byPath() (string, error) {
	for _, name := range []string{"blue", "green"} {
		got, err := t.backend("/"+name+"/some/path?and=query", 200, nil)
		if err != nil {
			return "", err
		}
		if got.seen.Backend != name || got.seen.Path != "/some/path?and=query" {
			return "", fmt.Errorf("/%s/some/path?and=query came to %s as %s", name, got.seen.Backend, got.seen.Path)
		}
	}
	return "/blue/… and /green/… came to their backends without the prefix", nil
}

func (t target) byHeader() (string, error) {
	for value, want := range map[string]string{"green": "green", "greenish": "blue", "": "blue"} {
		headers := map[string]string{"X-Backend": value}
		if value == "" {
			headers = nil
		}
		got, err := t.backend("/by-header", 200, headers)
		if err != nil {
			return "", err
		}
		if got.seen.Backend != want {
			return "", fmt.Errorf("with x-backend: %q it is %s, and not %s", value, got.seen.Backend, want)
		}
	}
	return "x-backend: green is green; another value, or none, is blue", nil
}

func (t target) byHost() (string, error) {
	got, err := t.ask("/blue/", map[string]string{"Host": "other.example.test"})
	if err == nil && (got.status != 200 || string(got.text) != "the other host") {
		err = fmt.Errorf("other.example.test answered %d %.100q", got.status, got.text)
	}
	return "other.example.test is the other virtual host", err
}

// byWeight takes what is more than six standard deviations away for wrong: once in 500 million runs that is by chance.
func (t target) byWeight() (string, error) {
	green := 0
	for range spread {
		got, err := t.backend("/weighted", 200, nil)
		if err != nil {
			return "", err
		}
		if got.seen.Backend == "green" {
			green++
		}
	}
	const expected, deviations = spread * share / 100, 52
	if green < expected-deviations || green > expected+deviations {
		return "", fmt.Errorf("green got %d of %d requests, where %d %% are %d", green, spread, share, expected)
	}
	return fmt.Sprintf("green got %d of %d requests, where %d %% are %d", green, spread, share, expected), nil
}

func (t target) noRoute() (string, error) {
	return t.rises(map[string]int{"http.front.no_route": 1}, func() error {
		got, err := t.ask("/no/such/route", nil)
		if err == nil && got.status != http.StatusNotFound {
			err = fmt.Errorf("status %d for a path without a route", got.status)
		}
		return err
	})
}

func (t target) redirect() (string, error) {
	got, err := t.ask("/old", map[string]string{"Host": "front.example.test"})
	if err != nil {
		return "", err
	}
	const want = "http://front.example.test/blue/new"
	if got.status != http.StatusMovedPermanently || got.header.Get("Location") != want {
		return "", fmt.Errorf("/old answered %d to %q", got.status, got.header.Get("Location"))
	}
	return "/old is 301 to " + want, nil
}

func (t target) headers() (string, error) {
	got, err := t.backend("/headers", 200, map[string]string{"X-Removed": "1", "X-Overwritten": "client"})
	if err != nil {
		return "", err
	}
	for name, want := range map[string]string{"X-Added": "by envoy", "X-Overwritten": "envoy", "X-Removed": ""} {
		if values := got.seen.Headers.Values(name); len(values) > 1 || got.seen.Headers.Get(name) != want {
			return "", fmt.Errorf("the backend saw %s: %q, and not %q", name, values, want)
		}
	}
	if got.seen.Host != "rewritten.example.test" {
		return "", fmt.Errorf("the backend saw host %q", got.seen.Host)
	}
	if served, secret := got.header.Get("X-Served-By"), got.header.Get("X-Backend-Secret"); served != "envoy" || secret != "" {
		return "", fmt.Errorf("the client saw x-served-by: %q, x-backend-secret: %q", served, secret)
	}
	if got.seen.Headers.Get("X-Request-Id") == "" {
		return "", fmt.Errorf("the backend saw no x-request-id")
	}
	return "added, overwritten and removed in both directions; the host is rewritten", nil
}

func (t target) retried() (string, error) {
	counters := map[string]int{"cluster.flaky.upstream_rq_retry": 2, "cluster.flaky.upstream_rq_retry_success": 1}
	return t.rises(counters, func() error {
		got, err := t.backend("/retry/fail/2?key=retried-"+t.run, 200, nil)
		if err == nil && got.seen.Attempt != 3 {
			err = fmt.Errorf("a backend that fails twice answered at attempt %d", got.seen.Attempt)
		}
		return err
	})
}

func (t target) givenUp() (string, error) {
	counters := map[string]int{
		"cluster.flaky.upstream_rq_retry":                retries,
		"cluster.flaky.upstream_rq_retry_limit_exceeded": 1,
	}
	return t.rises(counters, func() error {
		got, err := t.backend("/retry/fail/1000?key=given-up-"+t.run, http.StatusServiceUnavailable, nil)
		if err == nil && got.seen.Attempt != 1+retries {
			err = fmt.Errorf("a backend that always fails was asked %d times", got.seen.Attempt)
		}
		return err
	})
}

func (t target) timeout() (string, error) {
	key := "timeout-" + t.run
	return t.rises(map[string]int{"cluster.blue.upstream_rq_timeout": 1}, func() error {
		got, err := t.ask("/timeout/hold?key="+key, nil)
		if err == nil && got.status != http.StatusGatewayTimeout {
			err = fmt.Errorf("status %d for a backend that does not answer", got.status)
		}
		if err == nil {
			err = t.held(key)
		}
		return err
	})
}

// held wants one request of the key to have come to the backend.
func (t target) held(key string) error {
	got, err := t.ask("/blue/held?key="+key, nil)
	if err == nil && string(got.text) != "1" {
		err = fmt.Errorf("%.100q requests have come to the backend, and not 1", got.text)
	}
	return err
}

// circuitBreaker has one request wait in the backend, where no second one may be.
func (t target) circuitBreaker() (string, error) {
	key := "narrow-" + t.run
	first := make(chan error)
	go func() {
		_, err := t.backend("/narrow/hold?key="+key, 200, nil)
		first <- err
	}()
	_, err := eventually(limit/2, func() (string, error) { return "", t.held(key) })
	if err == nil {
		err = t.refused()
	}
	_, released := t.ask("/blue/release?key="+key, nil)
	for _, found := range []error{err, released, <-first} {
		if found != nil {
			return "", found
		}
	}
	// Envoy closes the circuit as soon as it has seen the end of the first one.
	return eventually(countingTime, func() (string, error) {
		_, err := t.backend("/narrow/", 200, nil)
		return "a second request is refused while the first one waits, and let through afterwards", err
	})
}

// refused wants no request more to be let through, and the circuit breaker to say so.
func (t target) refused() error {
	got, err := t.ask("/narrow/", nil)
	if err != nil {
		return err
	}
	if overloaded := got.header.Get("X-Envoy-Overloaded"); got.status != http.StatusServiceUnavailable || overloaded != "true" {
		return fmt.Errorf("a second request: status %d, x-envoy-overloaded: %q", got.status, overloaded)
	}
	open, err := t.counter("cluster.narrow.circuit_breakers.default.rq_open")
	if err == nil && open != 1 {
		err = fmt.Errorf("a request was refused, and the circuit breaker is not open")
	}
	return err
}

func (t target) healthChecks() (string, error) {
	// Envoy may have looked before the backend was there: a second later it looks again.
	if _, err := eventually(countingTime, func() (string, error) {
		_, err := t.backend("/pool", 200, nil)
		return "", err
	}); err != nil {
		return "", err
	}
	for range counted {
		got, err := t.backend("/pool", 200, nil)
		if err != nil {
			return "", err
		}
		if got.seen.Backend != "green" {
			return "", fmt.Errorf("a request came to %s, which fails its health check", got.seen.Backend)
		}
	}
	return t.unhealthy()
}

func (t target) statistics() (string, error) {
	counters := map[string]int{
		"cluster.blue.upstream_rq_200":    counted,
		"http.front.downstream_rq_total":  counted,
		"cluster.green.upstream_rq_total": 0,
	}
	return t.rises(counters, func() error {
		for range counted {
			if _, err := t.backend("/blue/", 200, nil); err != nil {
				return err
			}
		}
		return nil
	})
}
