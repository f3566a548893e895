package main

import (
	"errors"
	"fmt"
	"strings"
)

// A target is the release under test, and what it must know.
type target struct {
	prometheus   string // address of its API, http://…
	alertmanager string
	namespace    string
	release      string
	versions     map[string]string // of each program, without the v, by the name of its job
	inbox        *inbox
	stop         string // one of stops; empty: there is no upgrade
}

// jobs are the programs of the release, as the chart calls their scrape jobs.
var jobs = []string{"prometheus", "alertmanager", "node-exporter"}

func fromEnvironment(env environment) (target, error) {
	stop, err := env.stop()
	if err != nil {
		return target{}, err
	}
	found := target{
		namespace: env("CROSSCLOUD_NAMESPACE"),
		release:   env("CROSSCLOUD_RELEASE"),
		versions:  map[string]string{},
		inbox:     newInbox(),
		stop:      stop,
	}
	if found.namespace == "" {
		return target{}, errors.New("CROSSCLOUD_NAMESPACE must be set")
	}
	for suffix, address := range map[string]*string{"": &found.prometheus, "-alertmanager": &found.alertmanager} {
		service, err := env.service(suffix, "http")
		if err != nil {
			return target{}, err
		}
		*address = "http://" + service
	}
	for _, job := range jobs {
		name := variable(job) + "_TAG"
		if env(name) == "" {
			return target{}, fmt.Errorf("%s must be set", name)
		}
		found.versions[job] = strings.TrimPrefix(env(name), "v")
	}
	found.versions["prometheus"] = release(found.versions["prometheus"])
	return found, nil
}

// release is what Prometheus calls the version of its module: 0.315.0 is 3.15.0.
func release(version string) string {
	var minor int
	var rest string
	if _, err := fmt.Sscanf(version, "0.%d.%s", &minor, &rest); err != nil || minor < 300 {
		return version
	}
	return fmt.Sprintf("%d.%d.%s", minor/100, minor%100, rest)
}
