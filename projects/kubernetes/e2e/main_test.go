package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const passed = `<testcase name="[It] [sig-node] ConfigMap should be consumable" status="passed" time="31.5"></testcase>`

// place is a suite whose ginkgo is a script that leaves these cases in the report, and ends with that code.
func place(t *testing.T, cases string, code int) (*suite, string) {
	t.Helper()
	directory := t.TempDir()
	env := map[string]string{
		"CONFORMANCE_FOCUS":     `ConfigMap|Secrets`,
		"CONFORMANCE_IMAGES":    "kubernetes/conformance",
		"CONFORMANCE_PROCESSES": "3",
		"CROSSCLOUD_REGISTRY":   "http://198.18.0.1:5000",
		"CROSSCLOUD_RESULTS":    filepath.Join(directory, "results"),
	}
	suite, err := configure(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	suite.scratch = filepath.Join(directory, "scratch")
	for _, made := range []string{suite.scratch, suite.results} {
		if err := os.Mkdir(made, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	junit := ""
	if cases != "none" {
		junit = fmt.Sprintf("cat > %s/junit_01.xml <<'.'\n<testsuites><testsuite name=\"Kubernetes e2e suite\">\n%s\n"+
			"</testsuite></testsuites>\n.\n", suite.scratch, cases)
	}
	ginkgo := filepath.Join(directory, "ginkgo")
	script := fmt.Sprintf("#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" > %s/arguments\n%sexit %d\n", suite.scratch, junit, code)
	if err := os.WriteFile(ginkgo, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return suite, ginkgo
}

func content(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheChosenSpecsAreReported(t *testing.T) {
	suite, ginkgo := place(t, passed+`
		<testcase name="[It] [sig-node] ConfigMap another" time="0"><skipped message="skipped"></skipped></testcase>
		<testcase name="[It] [sig-node] ConfigMap later" time="0"><skipped message="pending"></skipped></testcase>
		<testcase name="[It] [sig-node] Secrets on Windows" time="0.1"><skipped message="skipped - Linux only"></skipped></testcase>
		<testcase name="[SynchronizedBeforeSuite]" status="passed" time="1"></testcase>`, 0)
	if code := suite.run(ginkgo, "/programs/e2e.test"); code != 0 {
		t.Error("exit code", code)
	}
	report := content(t, suite.results, "junit.xml")
	for _, wanted := range []string{`tests="2" failures="0"`, `name="[sig-node] ConfigMap should be consumable"`, `message="Linux only"`} {
		if !strings.Contains(report, wanted) {
			t.Errorf("no %s in %s", wanted, report)
		}
	}
	arguments := content(t, suite.scratch, "arguments")
	for _, wanted := range []string{"--procs=3", "--focus=ConfigMap|Secrets", "/programs/e2e.test -- ", "--kubectl-path=/programs/kubectl"} {
		if !strings.Contains(arguments, wanted) {
			t.Errorf("no %s in %s", wanted, arguments)
		}
	}
	registries := content(t, suite.scratch, "registries.yaml")
	if !strings.Contains(registries, `promoterE2eRegistry: "198.18.0.1:5000/kubernetes/conformance"`) {
		t.Error(registries)
	}
}

func TestWhatFailed(t *testing.T) {
	for name, failed := range map[string]string{
		"a spec":           `<testcase name="[It] [sig-node] Secrets"><failure type="failed">[FAILED] no answer` + "\nIn [It] at: secrets.go:12</failure></testcase>",
		"a panic":          `<testcase name="[It] [sig-node] Secrets"><error message="no answer" type="panicked">stack</error></testcase>`,
		"before the specs": `<testcase name="[SynchronizedBeforeSuite]"><failure>no answer</failure></testcase>`,
	} {
		suite, ginkgo := place(t, passed+failed, 1)
		if code := suite.run(ginkgo, "e2e.test"); code != 1 {
			t.Errorf("%s: exit code %d", name, code)
		}
		if report := content(t, suite.results, "junit.xml"); !strings.Contains(report, `<failure message="no answer`) {
			t.Errorf("%s: %s", name, report)
		}
	}
}

func TestNothingIsNoSuccess(t *testing.T) {
	skipped := `<testcase name="[It] [sig-node] ConfigMap"><skipped message="skipped"></skipped></testcase>`
	for name, given := range map[string]struct {
		cases string
		code  int
	}{
		"no spec matches":       {skipped, 0},
		"no report":             {"none", 0},
		"ginkgo failed":         {passed, 1},
		"the report is cut off": {"<testcase", 0},
	} {
		suite, ginkgo := place(t, given.cases, given.code)
		if code := suite.run(ginkgo, "e2e.test"); code != 2 {
			t.Errorf("%s: exit code %d", name, code)
		}
	}
}

func TestASpecThatIsGoneIsMissed(t *testing.T) {
	for ran, wanted := range map[int]int{2: 0, 1: 1} {
		suite, ginkgo := place(t, strings.Repeat(passed, ran), 0)
		suite.least = 2
		if code := suite.run(ginkgo, "e2e.test"); code != wanted {
			t.Errorf("%d of 2 specs: exit code %d", ran, code)
		}
		report := content(t, suite.results, "junit.xml")
		if strings.Contains(report, "only 1 of 2 chosen specs ran") != (wanted == 1) {
			t.Errorf("%d of 2 specs: %s", ran, report)
		}
	}
}

func TestWhatMustBeSaid(t *testing.T) {
	whole := map[string]string{"CONFORMANCE_FOCUS": "x", "CROSSCLOUD_REGISTRY": "registry.test", "CONFORMANCE_PROCESSES": "2"}
	for name, wrong := range map[string]string{
		"CONFORMANCE_FOCUS": "", "CROSSCLOUD_REGISTRY": "", "CONFORMANCE_PROCESSES": "many", "CONFORMANCE_LEAST": "0",
	} {
		_, err := configure(func(asked string) string {
			if asked == name {
				return wrong
			}
			return whole[asked]
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%q: %v", name, wrong, err)
		}
	}
}
