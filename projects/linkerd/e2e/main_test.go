package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A Service at 127.0.0.1, with its pod at another address of the same computer.
type fixed struct{ pod string }

func (f fixed) byName(namespace, name string) (*service, error) {
	if namespace != "cell" || name != "mesh" {
		return nil, nil
	}
	return &service{namespace, name, "127.0.0.1", []string{f.pod}}, nil
}

func (f fixed) byAddress(address string) (*service, error) {
	if address != "127.0.0.1" {
		return nil, nil
	}
	return f.byName("cell", "mesh")
}

func start(t *testing.T, fault, pod string) *target {
	t.Helper()
	standIn := &standIn{domain: "cluster.local", lookup: fixed{pod}, fault: fault}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(front.Addr().String())
	for _, listener := range []net.Listener{front, listen(t, net.JoinHostPort(pod, port))} {
		if listener != nil {
			server := server(standIn)
			go func() { _ = server.Serve(listener) }()
			t.Cleanup(func() { server.Close() })
		}
	}
	admin := httptest.NewServer(http.HandlerFunc(standIn.admin))
	t.Cleanup(admin.Close)
	return &target{
		api: front.Addr().String(), admin: admin.URL, namespace: "cell", service: "mesh", domain: "cluster.local",
		patience: time.Second,
	}
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err)
	}
	return listener
}

func examine(target *target) *report {
	return run("linkerd", target.answers(time.Second), target.checks()...)
}

func TestOneThatAnswersPasses(t *testing.T) {
	for _, pod := range []string{"127.0.0.2", "::1"} {
		t.Run(pod, func(t *testing.T) {
			target := start(t, "", pod)
			report := examine(target)
			if report.failed() != 0 || len(report.cases) != 10 {
				t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
			}
		})
	}
}

func TestEveryFaultIsFoundByItsCheck(t *testing.T) {
	everyFaultIsFound(t, map[string]string{
		"no endpoints":        "answers at all",
		"names itself":        "its own Service has an endpoint, which is it",
		"names a stranger":    "its own Service has an endpoint, which is it",
		"no labels":           "an endpoint comes with its Service's names",
		"knows every Service": "a Service that is not there is known not to be",
		"takes any name":      "a name that is no Service's is refused",
		"takes addresses":     "an address is refused where a name is asked for",
		"another name":        "the profile of a Service by its name",
		"knows no addresses":  "the profile of a Service by its address",
		"counts nothing":      "metrics count the streams",
		"no pong":             "it says that it lives",
	}, func(t *testing.T, fault string) *report {
		return examine(start(t, fault, "127.0.0.2"))
	})
}

func TestOneThatIsNotThereFailsOneCheck(t *testing.T) {
	target := start(t, "", "127.0.0.2")
	target.api = "127.0.0.1:1"
	if report := run("linkerd", target.answers(0), target.checks()...); len(report.cases) != 1 || report.failed() != 1 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestAMessageThatEndsInTheMiddleIsAnError(t *testing.T) {
	whole := message(1, message(1, tcp("192.0.2.1:80")))
	for length := 1; length < len(whole); length++ {
		if err := each(whole[:length], func(part) error { return nil }); err == nil {
			t.Errorf("%d of %d bytes are no error", length, len(whole))
		}
	}
}
