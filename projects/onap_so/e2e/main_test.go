package main

import (
	"net/http/httptest"
	"testing"
	"time"
)

func start(t *testing.T, fault string) *target {
	t.Helper()
	database := httptest.NewServer(&memory{})
	lets := func(user, password string) bool { return user == "portal" && password == "secret" }
	standIn := &standIn{lets: lets, requests: remote{url: database.URL}, fault: fault}
	server := httptest.NewServer(standIn)
	t.Cleanup(func() { server.Close(); database.Close() })
	return &target{url: server.URL, user: "portal", password: "secret", patience: time.Second}
}

func examine(target *target) *report {
	return run("onap-so", target.answers(time.Second), target.checks()...)
}

func TestOneThatAnswersPasses(t *testing.T) {
	target := start(t, "")
	report := examine(target)
	if report.failed() != 0 || len(report.cases) != 11 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestEveryFaultIsFoundByItsCheck(t *testing.T) {
	everyFaultIsFound(t, map[string]string{
		"is down":                 "is healthy",
		"lets anybody in":         "nobody is let in without a password",
		"takes any password":      "a wrong password is refused",
		"refuses everybody":       "its own user is let in",
		"takes what is no JSON":   "what is no JSON is refused",
		"takes what has no model": "a request without a model is refused",
		"gives no id":             "a service can be asked for",
		"forgets":                 "what becomes of the request can be asked",
		"has a state of its own":  "what becomes of the request can be asked",
		"finds nothing":           "a request is found by its service's name",
		"takes any id":            "an id that is none is refused",
		"knows every id":          "a request that was never made is not there",
	}, func(t *testing.T, fault string) *report {
		return examine(start(t, fault))
	})
}

func TestOneThatRefusesItsOwnUserFailsThatCheckAlone(t *testing.T) {
	report := examine(start(t, "refuses everybody"))
	if len(report.cases) != 11 || report.failed() != 1 || report.skipped() != 7 {
		t.Errorf("%d cases, %d failed, %d skipped", len(report.cases), report.failed(), report.skipped())
	}
}

func TestOneThatIsNotThereFailsOneCheck(t *testing.T) {
	target := start(t, "")
	target.url = "http://127.0.0.1:1"
	if report := run("onap-so", target.answers(0), target.checks()...); len(report.cases) != 1 || report.failed() != 1 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}
