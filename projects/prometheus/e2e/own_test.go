package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const ownOutput = `=== RUN   TestEvaluations
=== RUN   TestEvaluations/testdata/aggregators.test
=== RUN   TestEvaluations/testdata/info.test
    test.go:1: expected 2 for "sum(x)", got 1
--- FAIL: TestEvaluations (0.10s)
    --- PASS: TestEvaluations/testdata/aggregators.test (0.01s)
    --- FAIL: TestEvaluations/testdata/info.test (0.01s)
    --- SKIP: TestEvaluations/testdata/limit.test (0.01s)
`

// program is a test program that says what it is given, and fails if that has a failure.
func program(t *testing.T, output, exit string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "own.test")
	script := "#!/bin/sh\ncat <<'EOF'\n" + output + "EOF\nexit " + exit + "\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryFileOfUpstreamIsACheck(t *testing.T) {
	report := &report{suite: "prometheus"}
	for _, check := range ownTests(program(t, ownOutput, "1")) {
		report.make(check)
	}
	if len(report.cases) != 4 || report.failed() != 2 || report.skipped() != 1 {
		t.Errorf("%d cases, %d failed, %d skipped", len(report.cases), report.failed(), report.skipped())
	}
	failed := report.cases[1]
	if failed.Name != "upstream info.test" || failed.Failure.Message != `test.go:1: expected 2 for "sum(x)", got 1` {
		t.Errorf("%+v", failed)
	}
}

func TestAVersionWithoutFilesOfItsOwnIsNoFault(t *testing.T) {
	for _, output := range []string{
		"=== RUN   TestEvaluations\n--- PASS: TestEvaluations (0.00s)\nPASS\n",
		"testing: warning: no tests to run\nPASS\n",
	} {
		report := &report{suite: "prometheus"}
		for _, check := range ownTests(program(t, output, "0")) {
			report.make(check)
		}
		if len(report.cases) != 1 || report.skipped() != 1 {
			t.Errorf("%q: %+v", output, report.cases)
		}
	}
}

func TestATestProgramThatDoesNotRunIsSeen(t *testing.T) {
	for output, exit := range map[string]string{"panic: runtime error\n": "2", "nothing of tests\n": "0"} {
		checks := ownTests(program(t, output, exit))
		if _, err := checks[0].run(); len(checks) != 1 || err == nil || !strings.Contains(err.Error(), strings.TrimSpace(output)) {
			t.Errorf("%d checks, %v", len(checks), err)
		}
	}
	if _, err := ownTests("/no/such/program")[0].run(); err == nil {
		t.Error("a program that is not there has passed")
	}
}
