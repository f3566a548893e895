package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// The tests of Prometheus' package promql, of the version under test: compiled into this program's image.
const ownProgram = "/own.test"

var (
	runningLine = regexp.MustCompile(`^=== \w+ +(\S+)`)
	verdictLine = regexp.MustCompile(`^    --- (PASS|FAIL|SKIP): (TestEvaluations/\S+)`)
)

// ownTests runs the files with which Prometheus tests its own PromQL, and makes each a check. They need no server.
func ownTests(program string) []check {
	output, err := runOwnTests(program)
	checks := ownChecks(output)
	return append(checks, check{"Prometheus' own PromQL tests", func() (string, error) {
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, lastLines(output))
		}
		if len(checks) == 0 && !slices.Contains(output, "PASS") {
			return "", fmt.Errorf("none ran: %s", lastLines(output))
		}
		if len(checks) == 0 { // older versions read them from the folder of their sources, which is not here
			return "", skipped("this version embeds no PromQL files in its tests")
		}
		return fmt.Sprintf("%d files", len(checks)), nil
	}})
}

func runOwnTests(program string) ([]string, error) {
	// The image has nothing but programs, and tests want a place for their files.
	if err := os.MkdirAll(os.TempDir(), 0o777); err != nil {
		return nil, err
	}
	output, err := exec.Command(program, "-test.run=^TestEvaluations$", "-test.v", "-test.timeout=2m").CombinedOutput()
	return strings.Split(string(output), "\n"), err
}

// ownChecks are the verdicts in the output of a test program, which names each test before what it says.
func ownChecks(output []string) []check {
	var checks []check
	current, said := "", map[string][]string{}
	for _, line := range output {
		if running := runningLine.FindStringSubmatch(line); running != nil {
			current = running[1]
			continue
		}
		verdict := verdictLine.FindStringSubmatch(line)
		if verdict == nil {
			if strings.HasPrefix(line, "--- ") { // of all files together
				current = ""
			}
			said[current] = append(said[current], strings.TrimSpace(line))
			continue
		}
		seen, err := "as upstream expects", error(nil)
		switch verdict[1] {
		case "FAIL":
			err = errors.New(lastLines(said[verdict[2]]))
		case "SKIP":
			err = skipped("upstream skips it")
		}
		name := "upstream " + strings.TrimPrefix(verdict[2], "TestEvaluations/testdata/")
		checks = append(checks, check{name, func() (string, error) { return seen, err }})
	}
	return checks
}

// lastLines are what of an output fits into a message.
func lastLines(output []string) string {
	text := strings.TrimSpace(strings.Join(output, "\n"))
	return text[max(0, len(text)-600):]
}
