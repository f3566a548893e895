// The part of every e2e container that is not about its project: checks, one after the other, and their JUnit file.
//
// A project's e2e folder has links to the files of this one, and is a program of its own with them.
package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// How long a project gets for its first answer: the cluster may still be telling nodes about its Services.
const patience = 60 * time.Second

// A check looks at one thing that the project promises.
type check struct {
	name string
	run  func() (string, error) // what was seen, or what is wrong, or why there was nothing to look at
}

// skipped is the error of a check that could not be made here, and why: it is no fault of the project.
type skipped string

func (s skipped) Error() string { return string(s) }

// verify makes the first check, and the others once it holds; then it writes the report and ends the program.
//
// Exit code 0: all hold. 1: one does not. 2: the report cannot be written.
func verify(suite string, first check, others ...check) {
	report := run(suite, first, others...)
	if err := report.write(filepath.Join(or(os.Getenv("CROSSCLOUD_RESULTS"), "/results"), "junit.xml")); err != nil {
		fatal(err)
	}
	if report.failed() > 0 {
		os.Exit(1)
	}
}

// fatal ends the program when what it needs to know is missing: nothing was checked.
func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

func run(suite string, first check, others ...check) *report {
	report := &report{suite: suite}
	if report.make(first) { // else every other check would only say the same again
		for _, check := range others {
			report.make(check)
		}
	}
	failed, left := report.failed(), report.skipped()
	fmt.Printf("%d checks: %d passed, %d failed, %d skipped\n", len(report.cases), len(report.cases)-failed-left, failed, left)
	return report
}

// A report collects what the checks found, prints each as it ends, and writes JUnit's XML.
type report struct {
	suite string
	cases []testcase
}

type testcase struct {
	Name      string   `xml:"name,attr"`
	Classname string   `xml:"classname,attr"`
	Seconds   string   `xml:"time,attr"`
	Failure   *failure `xml:"failure,omitempty"`
	Skipped   *failure `xml:"skipped,omitempty"`
	Output    string   `xml:"system-out,omitempty"`
}

type failure struct {
	Message string `xml:"message,attr"`
}

func (r *report) make(check check) bool {
	started := time.Now()
	seen, err := check.run()
	taken := time.Since(started)
	result := testcase{Name: check.name, Classname: r.suite, Seconds: fmt.Sprintf("%.3f", taken.Seconds()), Output: seen}
	verdict := "ok  "
	var reason skipped
	if errors.As(err, &reason) {
		verdict, seen = "skip", err.Error()
		result.Skipped, err = &failure{seen}, nil
	} else if err != nil {
		verdict, seen = "FAIL", err.Error()
		result.Failure = &failure{seen}
	}
	fmt.Printf("%s  %6.1f ms  %s: %s\n", verdict, float64(taken.Microseconds())/1000, check.name, seen)
	r.cases = append(r.cases, result)
	return err == nil
}

func (r *report) failed() int {
	count := 0
	for _, result := range r.cases {
		if result.Failure != nil {
			count++
		}
	}
	return count
}

func (r *report) skipped() int {
	count := 0
	for _, result := range r.cases {
		if result.Skipped != nil {
			count++
		}
	}
	return count
}

func (r *report) write(path string) error {
	suite := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testcase `xml:"testcase"`
	}{Name: r.suite, Tests: len(r.cases), Failures: r.failed(), Skipped: r.skipped(), Cases: r.cases}
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(xml.Header), append(text, '\n')...), 0o644)
}
