package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"time"
)

// A report collects what the checks found, prints each as it ends, and writes JUnit's XML.
type report struct {
	cases []testcase
}

type testcase struct {
	Name      string   `xml:"name,attr"`
	Classname string   `xml:"classname,attr"`
	Seconds   string   `xml:"time,attr"`
	Failure   *failure `xml:"failure,omitempty"`
	Output    string   `xml:"system-out,omitempty"`
}

type failure struct {
	Message string `xml:"message,attr"`
}

func (r *report) check(name string, run func() (string, error)) bool {
	started := time.Now()
	seen, err := run()
	taken := time.Since(started)
	result := testcase{Name: name, Classname: "coredns", Seconds: fmt.Sprintf("%.3f", taken.Seconds()), Output: seen}
	verdict := "ok  "
	if err != nil {
		verdict, seen = "FAIL", err.Error()
		result.Failure = &failure{seen}
	}
	fmt.Printf("%s  %6.1f ms  %s: %s\n", verdict, float64(taken.Microseconds())/1000, name, seen)
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

func (r *report) write(path string) error {
	suite := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}{Name: "coredns", Tests: len(r.cases), Failures: r.failed(), Cases: r.cases}
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(xml.Header), append(text, '\n')...), 0o644)
}
