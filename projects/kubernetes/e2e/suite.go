package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A suite is what is run of e2e.test, and how.
type suite struct {
	focus     string // regular expression: the specs that run
	least     int    // specs of them that must run
	processes int
	registry  string // host[:port]/path under which the images of specs are
	results   string
	scratch   string
}

func configure(env environment) (*suite, error) {
	s := &suite{
		focus:   env("CONFORMANCE_FOCUS"),
		results: or(env("CROSSCLOUD_RESULTS"), "/results"),
		scratch: scratch,
	}
	if s.focus == "" {
		return nil, fmt.Errorf("CONFORMANCE_FOCUS must be set: which specs to run")
	}
	host := strings.TrimPrefix(env("CROSSCLOUD_REGISTRY"), "http://")
	if host == "" {
		return nil, fmt.Errorf("CROSSCLOUD_REGISTRY must be set: where the images of specs are, in CONFORMANCE_IMAGES")
	}
	s.registry = host + "/" + env("CONFORMANCE_IMAGES")
	var err error
	if s.processes, err = count(env, "CONFORMANCE_PROCESSES", "processes"); err != nil {
		return nil, err
	}
	if s.least, err = count(env, "CONFORMANCE_LEAST", "specs"); err != nil {
		return nil, err
	}
	return s, nil
}

// count is the number of things that a variable tells; 1 if it is not set.
func count(env environment, name, things string) (int, error) {
	number, err := strconv.Atoi(or(env(name), "1"))
	if err != nil || number < 1 {
		return 0, fmt.Errorf("%s=%q is not a number of %s", name, env(name), things)
	}
	return number, nil
}

// arguments are ginkgo's: its own, the test program, and that program's.
func (s *suite) arguments(test string) []string {
	return []string{
		"--no-color",
		"--silence-skips",
		"--timeout=24h", // the Job has a time of its own
		"--poll-progress-after=120s",
		fmt.Sprintf("--procs=%d", s.processes),
		"--focus=" + s.focus,
		test,
		"--",
		"--provider=skeleton",
		"--disable-log-dump",
		"--kubectl-path=" + filepath.Join(filepath.Dir(test), "kubectl"),
		"--report-dir=" + s.scratch,
		"--kube-test-repo-list=" + s.registries(),
	}
}

func (s *suite) registries() string {
	return filepath.Join(s.scratch, "registries.yaml")
}

// writeRegistries says where the suite finds its images, in the words of k8s.io/kubernetes/test/utils/image.
func (s *suite) writeRegistries() error {
	text := ""
	for _, name := range []string{"promoterE2eRegistry", "gcRegistry", "gcEtcdRegistry", "buildImageRegistry"} {
		text += fmt.Sprintf("%s: %q\n", name, s.registry)
	}
	return os.WriteFile(s.registries(), []byte(text), 0o644)
}

// A fault is why a case failed.
type fault struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// A ran is a case of the suite's JUnit file.
type ran struct {
	Name    string `xml:"name,attr"`
	Seconds string `xml:"time,attr"`
	Failure *fault `xml:"failure"`
	Error   *fault `xml:"error"`
	Skipped *struct {
		Message string `xml:"message,attr"`
	} `xml:"skipped"`
}

// read is the suite's report without the specs that were not chosen.
func read(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found struct {
		Suites []struct {
			Cases []ran `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	report := &report{suite: "conformance"}
	for _, suite := range found.Suites {
		for _, ran := range suite.Cases {
			if result, chosen := ran.result(); chosen {
				report.cases = append(report.cases, result)
			}
		}
	}
	return report, nil
}

// result is what becomes of a case in our report; false: it is a spec that was not chosen, or a step beside the specs
// that went well.
func (r ran) result() (testcase, bool) {
	name, isSpec := strings.CutPrefix(r.Name, "[It] ")
	result := testcase{Name: name, Classname: "conformance", Seconds: r.Seconds}
	switch {
	case r.Skipped != nil:
		// "skipped" is ginkgo's word for a spec that does not match; one that skipped itself says why.
		reason, itself := strings.CutPrefix(r.Skipped.Message, "skipped - ")
		result.Skipped = &failure{reason}
		return result, itself
	case r.Failure != nil:
		result.Failure = &failure{r.Failure.said()}
	case r.Error != nil:
		result.Failure = &failure{r.Error.said()}
	default:
		return result, isSpec
	}
	return result, true
}

// said is the fault in ginkgo's words, without its mark before them.
func (f fault) said() string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(or(f.Message, f.Text)), "[FAILED] "))
}
