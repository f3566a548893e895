package main

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// An environment is os.Getenv, or what a test puts in its place.
type environment func(string) string

// service is the address (host:port) of a Service of the release's namespace: the one called as the release itself, or
// with a suffix ("-alertmanager"). It comes from the variables that Kubernetes gives to every pod about the Services of
// its namespace, so a cluster needs no DNS to be tested. Without a port's name it is the Service's first port.
func (env environment) service(suffix, port string) (string, error) {
	release := env("CROSSCLOUD_RELEASE")
	if release == "" {
		return "", fmt.Errorf("CROSSCLOUD_RELEASE must be set")
	}
	prefix := variable(release+suffix) + "_SERVICE_"
	name := prefix + "PORT"
	if port != "" {
		name += "_" + variable(port)
	}
	host, number := env(prefix+"HOST"), env(name)
	if host == "" || number == "" {
		return "", fmt.Errorf("no Service %s%s with port %q in this namespace when the pod started: %sHOST=%q %s=%q",
			release, suffix, port, prefix, host, name, number)
	}
	return net.JoinHostPort(host, number), nil
}

// variable is a name as environment variables have it.
func variable(name string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// eventually tries until it works, for what the project does in its own time. The error is the last attempt's.
func eventually(limit time.Duration, try func() (string, error)) (string, error) {
	started := time.Now()
	for {
		seen, err := try()
		taken := time.Since(started)
		if err == nil {
			return fmt.Sprintf("%s (after %.1f s)", seen, taken.Seconds()), nil
		}
		if taken > limit {
			return "", fmt.Errorf("not within %.0f s: %w", limit.Seconds(), err)
		}
		time.Sleep(250 * time.Millisecond)
	}
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
