// Program e2e runs the conformance suite that belongs to the tested Kubernetes on the cluster that it is in.
//
// The image has the suite (e2e.test), ginkgo, which runs it in several processes, and kubectl. This program tells the
// suite where its images are, and hands on what became of the specs that were chosen: the suite's own report has a
// line for each of the thousands that were not.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	programs = "/usr/local/bin"
	scratch  = "/tmp"
)

func main() {
	suite, err := configure(os.Getenv)
	if err != nil {
		fatal(err)
	}
	if err := os.MkdirAll(scratch, 0o777); err != nil {
		fatal(err)
	}
	os.Exit(suite.run(filepath.Join(programs, "ginkgo"), filepath.Join(programs, "e2e.test")))
}

// run is the exit code: 0 if as many specs ran as must and all passed, 1 if one failed or is missed, 2 if there is no verdict.
func (s *suite) run(ginkgo, test string) int {
	if err := s.writeRegistries(); err != nil {
		return none(err)
	}
	command := exec.Command(ginkgo, s.arguments(test)...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.Env = append(os.Environ(), "TMPDIR="+s.scratch, "HOME="+s.scratch, "PATH="+filepath.Dir(ginkgo))
	ended := command.Run()
	report, err := read(filepath.Join(s.scratch, "junit_01.xml"))
	if err != nil {
		return none(fmt.Errorf("%w (ginkgo: %v)", err, ended))
	}
	failed, left := report.failed(), report.skipped()
	passed := len(report.cases) - failed - left
	if failed == 0 && ended == nil && passed > 0 && passed < s.least {
		failed++
		report.cases = append(report.cases, s.missed(passed))
	}
	if err := report.write(filepath.Join(s.results, "junit.xml")); err != nil {
		return none(err)
	}
	fmt.Printf("%d specs: %d passed, %d failed, %d skipped\n", len(report.cases), passed, failed, left)
	switch {
	case failed > 0:
		return 1
	case ended != nil:
		return none(fmt.Errorf("ginkgo: %w", ended))
	case passed == 0:
		return none(fmt.Errorf("no spec of this Kubernetes ran that matches %q", s.focus))
	}
	return 0
}

// missed is the case that fails when specs were chosen that this Kubernetes does not have, or calls otherwise.
func (s *suite) missed(ran int) testcase {
	message := fmt.Sprintf("only %d of %d chosen specs ran: this Kubernetes lacks some of them, or renamed them", ran, s.least)
	fmt.Println(message)
	return testcase{Name: "every chosen spec is there", Classname: "conformance", Seconds: "0", Failure: &failure{message}}
}

// none says why there is no verdict.
func none(err error) int {
	fmt.Fprintln(os.Stderr, "conformance suite:", err)
	return 2
}
