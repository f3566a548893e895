package main

import (
	"net"
	"net/http/httptest"
	"testing"
	"time"
)

func start(t *testing.T, fault string) *target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &standIn{keyspaces: map[string]int{"commerce": 2, "lookup": 1}, fault: fault}
	web := httptest.NewServer(server)
	go func() { _ = server.serve(listener) }()
	t.Cleanup(func() { web.Close(); listener.Close() })
	return &target{
		mysql: listener.Addr().String(), web: web.URL, keyspace: "commerce", shards: []string{"-80", "80-"},
		patience: time.Second,
	}
}

func examine(target *target) *report {
	return run("vitess", target.answers(time.Second), target.checks()...)
}

func TestOneThatAnswersPasses(t *testing.T) {
	target := start(t, "")
	report := examine(target)
	if report.failed() != 0 || len(report.cases) != 10 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestEveryFaultIsFoundByItsCheck(t *testing.T) {
	everyFaultIsFound(t, map[string]string{
		"one shard":                 "the shards that were asked for",
		"spreads nothing":           "rows are spread over the shards",
		"loses rows":                "rows are spread over the shards",
		"finds another":             "a row is found by its key",
		"adds up one shard":         "a query over all shards is one answer",
		"sorts within shards":       "a query over all shards is one answer",
		"keeps what is rolled back": "what is rolled back is gone",
		"takes keys twice":          "a key is unique over the shards",
		"knows every table":         "a table that is not there is MySQL's error",
		"counts nothing":            "vtgate counts the queries",
	}, func(t *testing.T, fault string) *report {
		return examine(start(t, fault))
	})
}

func TestATableThatCannotBeMadeIsFound(t *testing.T) {
	target := start(t, "")
	target.keyspace = "lookup" // it has one shard
	failed := map[string]bool{}
	for _, result := range examine(target).cases {
		failed[result.Name] = result.Failure != nil
	}
	if !failed["the shards that were asked for"] {
		t.Error("shards that are not there passed")
	}
}

func TestOneThatIsNotThereFailsOneCheck(t *testing.T) {
	target := start(t, "")
	target.mysql = "127.0.0.1:1"
	if report := run("vitess", target.answers(0), target.checks()...); len(report.cases) != 1 || report.failed() != 1 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}
