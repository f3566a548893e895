package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func start(t *testing.T, fault string) target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	receiver := receive(listener)
	server := &standIn{
		match: "app.**", pipeline: "crosscloud", limit: 1 << 20, flush: 10 * time.Millisecond, retryWait: 10 * time.Millisecond,
		receiver: "http://" + listener.Addr().String(), fault: fault,
	}
	input, monitor := httptest.NewServer(server), httptest.NewServer(http.HandlerFunc(server.monitor))
	go server.run()
	t.Cleanup(func() { input.Close(); monitor.Close(); listener.Close() })
	return target{input: input.URL, monitor: monitor.URL, receiver: receiver, patience: 2 * time.Second}
}

func examine(target target) *report {
	return run("fluentd", target.answers(time.Second), target.checks()...)
}

func TestOneThatDeliversPasses(t *testing.T) {
	target := start(t, "")
	report := examine(target)
	if report.failed() != 0 || len(report.cases) != 9 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestEveryFaultIsFoundByItsCheck(t *testing.T) {
	everyFaultIsFound(t, map[string]string{
		"no tag":             "a record comes out with its tag and fields",
		"no field":           "a record comes out with its tag and fields",
		"mangles":            "a record comes out with its tag and fields",
		"takes its own time": "the time that a record was given",
		"sends everything":   "a tag that is not routed goes nowhere",
		"takes anything":     "what is no JSON is refused",
		"unlimited":          "a body that is too large is refused",
		"reorders":           "a batch arrives whole, once and in order",
		"repeats":            "a batch arrives whole, once and in order",
		"loses":              "nothing is lost while the receiver has no time",
		"counts nothing":     "the monitor counts, and its buffer is empty",
		"keeps some":         "the monitor counts, and its buffer is empty",
	}, func(t *testing.T, fault string) *report {
		return examine(start(t, fault))
	})
}

func TestOneThatIsNotThereFailsOneCheck(t *testing.T) {
	target := start(t, "")
	target.monitor = "http://127.0.0.1:1"
	if report := run("fluentd", target.answers(0), target.checks()...); len(report.cases) != 1 || report.failed() != 1 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}
