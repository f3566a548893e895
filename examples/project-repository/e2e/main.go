// The e2e container: does the Tally that was just installed count? Its exit code is the result, junit.xml says why.
package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Votes that are given at the same time.
const crowd = 50

var client = http.Client{Timeout: 10 * time.Second}

func main() {
	// The release's Service has the release's name, and Kubernetes tells every pod the addresses of Services beside it.
	prefix := strings.ToUpper(strings.ReplaceAll(os.Getenv("CROSSCLOUD_RELEASE"), "-", "_")) + "_SERVICE_"
	address := "http://" + net.JoinHostPort(os.Getenv(prefix+"HOST"), os.Getenv(prefix+"PORT_HTTP"))
	suite := report{Name: "tally"}
	suite.check("a new choice has no votes", func() error { return votes(http.MethodGet, address+"/votes/nobody", 0) })
	suite.check("a vote counts", func() error { return votes(http.MethodPost, address+"/votes/tea", 1) })
	suite.check("choices do not mix", func() error { return votes(http.MethodPost, address+"/votes/coffee", 1) })
	suite.check("no vote of a crowd is lost", func() error { return everyVoteCounts(address + "/votes/crowd") })
	if err := suite.write(filepath.Join(os.Getenv("CROSSCLOUD_RESULTS"), "junit.xml")); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	if suite.Failures > 0 {
		os.Exit(1)
	}
}

// votes sends a request, and wants to be told that there are so many.
func votes(method, url string, want int) error {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var got struct{ Votes int }
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		return fmt.Errorf("%s %s: %s: %w", method, url, response.Status, err)
	}
	if got.Votes != want {
		return fmt.Errorf("%s %s: %d votes, and not %d", method, url, got.Votes, want)
	}
	return nil
}

func everyVoteCounts(url string) error {
	var all sync.WaitGroup
	for range crowd {
		all.Go(func() {
			if response, err := client.Post(url, "", nil); err == nil {
				response.Body.Close()
			}
		})
	}
	all.Wait()
	return votes(http.MethodGet, url, crowd)
}

// A report is what JUnit calls a test suite.
type report struct {
	XMLName  xml.Name `xml:"testsuite"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Cases    []result `xml:"testcase"`
}

type result struct {
	Name    string   `xml:"name,attr"`
	Suite   string   `xml:"classname,attr"`
	Failure *failure `xml:"failure,omitempty"`
}

type failure struct {
	Message string `xml:"message,attr"`
}

func (r *report) check(name string, do func() error) {
	found := result{Name: name, Suite: r.Name}
	if err := do(); err != nil {
		found.Failure = &failure{err.Error()}
		r.Failures++
		fmt.Printf("FAIL  %s: %v\n", name, err)
	} else {
		fmt.Printf("ok    %s\n", name)
	}
	r.Tests++
	r.Cases = append(r.Cases, found)
}

func (r *report) write(path string) error {
	text, err := xml.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
