package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// How long an answer may take.
	answering = 20 * time.Second

	// Streams that are opened between two looks at the metrics.
	counted = 5
)

// A target is the release under test.
type target struct {
	api       string // host:port of the destination API, as the cluster's Service has it
	admin     string // URL of its admin server
	namespace string
	service   string        // the release's own Service
	domain    string        // the cluster's
	patience  time.Duration // until metrics show what was counted
}

func (t *target) checks() []check {
	return []check{
		{"its own Service has an endpoint, which is it", t.ownEndpoint},
		{"an endpoint comes with its Service's names", t.labels},
		{"a Service that is not there is known not to be", t.noSuchService},
		{"a name that is no Service's is refused", t.invalidName},
		{"an address is refused where a name is asked for", t.addressAsName},
		{"the profile of a Service by its name", t.profileByName},
		{"the profile of a Service by its address", t.profileByAddress},
		{"metrics count the streams", t.counts},
		{"it says that it lives", t.pings},
	}
}

// answers waits until the controller has read the cluster: before that its answers mean nothing.
func (t *target) answers(patience time.Duration) check {
	return check{"answers at all", func() (string, error) {
		return eventually(patience, func() (string, error) {
			if _, err := get(t.admin + "/ready"); err != nil {
				return "", err
			}
			if _, err := t.endpoints(t.api); err != nil {
				return "", err
			}
			return "ready", nil
		})
	}}
}

// ownEndpoint asks at the address that the controller names as its own: it must answer there as it does here.
func (t *target) ownEndpoint() (string, error) {
	address, err := t.only(t.api)
	if err != nil {
		return "", err
	}
	if address == t.api {
		return "", fmt.Errorf("%s is the address of the Service, not of its pod", address)
	}
	again, err := t.only(address)
	if err != nil {
		return "", fmt.Errorf("%s is said to be %s: %w", t.authority(), address, err)
	}
	if again != address {
		return "", fmt.Errorf("asked at %s, it says that %s is %s", address, t.authority(), again)
	}
	return fmt.Sprintf("%s is %s, and answers there", t.authority(), address), nil
}

// only is the one address that the controller at “at“ has for its Service, which has one pod.
func (t *target) only(at string) (string, error) {
	found, err := t.endpoints(at)
	if err != nil {
		return "", err
	}
	if len(found.addresses) != 1 {
		return "", fmt.Errorf("%s has one pod, and not the addresses %v", t.authority(), found.addresses)
	}
	return found.addresses[0], nil
}

func (t *target) labels() (string, error) {
	found, err := t.endpoints(t.api)
	if err != nil {
		return "", err
	}
	if found.labels["service"] != t.service || found.labels["namespace"] != t.namespace {
		return "", fmt.Errorf("service=%s and namespace=%s, and not %v", t.service, t.namespace, found.labels)
	}
	return fmt.Sprintf("%v", found.labels), nil
}

func (t *target) noSuchService() (string, error) {
	authority := fmt.Sprintf("no-such-service.%s.svc.%s:80", t.namespace, t.domain)
	found, err := t.update(t.api, authority)
	// Versions differ in how they say so.
	var refusal *refusal
	if errors.As(err, &refusal) && refusal.code == notFound {
		return refusal.message, nil
	}
	if err != nil {
		return "", err
	}
	if !found.none || found.exists {
		return "", fmt.Errorf("%s is not there, and it says: %+v", authority, *found)
	}
	return authority + " does not exist", nil
}

func (t *target) invalidName() (string, error) {
	return t.refused("www.example.test:80")
}

func (t *target) addressAsName() (string, error) {
	return t.refused("192.0.2.1:80")
}

// refused wants the controller to say that what is asked for cannot be a Service.
func (t *target) refused(authority string) (string, error) {
	found, err := t.update(t.api, authority)
	if err == nil {
		return "", fmt.Errorf("%s is no Service's name, and it says: %+v", authority, *found)
	}
	var refusal *refusal
	if !errors.As(err, &refusal) || refusal.code != invalidArgument {
		return "", fmt.Errorf("%s was to be refused as an invalid argument, and not: %w", authority, err)
	}
	return refusal.message, nil
}

func (t *target) profileByName() (string, error) {
	return t.profile(t.authority())
}

// profileByAddress asks as a proxy does, which sees no more than where a connection goes.
func (t *target) profileByAddress() (string, error) {
	return t.profile(t.api)
}

func (t *target) profile(path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answering)
	defer cancel()
	name, err := profile(ctx, t.api, path)
	if err != nil {
		return "", err
	}
	if want := t.host(); name != want {
		return "", fmt.Errorf("%s is %s, and not %q", path, want, name)
	}
	return fmt.Sprintf("%s is %s", path, name), nil
}

func (t *target) counts() (string, error) {
	before, err := t.streams()
	if err != nil {
		return "", err
	}
	for range counted {
		if _, err := t.endpoints(t.api); err != nil {
			return "", err
		}
	}
	return eventually(t.patience, func() (string, error) {
		after, err := t.streams()
		if err == nil && after-before < counted {
			err = fmt.Errorf("%d streams raised grpc_server_started_total by %.0f", counted, after-before)
		}
		return fmt.Sprintf("grpc_server_started_total of Get went from %.0f to %.0f", before, after), err
	})
}

// streams is how many of Get's streams were ever begun.
func (t *target) streams() (float64, error) {
	text, err := get(t.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	total, found := 0.0, false
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, "grpc_server_started_total{") || !strings.Contains(line, `grpc_method="Get"`) {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:], 64)
		if err != nil {
			return 0, err
		}
		total, found = total+value, true
	}
	if !found {
		return 0, errors.New(`no grpc_server_started_total{grpc_method="Get"} among the metrics`)
	}
	return total, nil
}

func (t *target) pings() (string, error) {
	text, err := get(t.admin + "/ping")
	if err == nil && strings.TrimSpace(string(text)) != "pong" {
		err = fmt.Errorf("/ping says %q, and not pong", text)
	}
	return "pong", err
}

// endpoints is what the controller at an address says of its own Service; an error if it names no endpoint.
func (t *target) endpoints(at string) (*update, error) {
	found, err := t.update(at, t.authority())
	if err == nil && len(found.addresses) == 0 {
		err = fmt.Errorf("%s has no endpoint: %+v", t.authority(), *found)
	}
	return found, err
}

func (t *target) update(at, authority string) (*update, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answering)
	defer cancel()
	return ask(ctx, at, authority)
}

// host is the full name of the release's own Service.
func (t *target) host() string {
	return fmt.Sprintf("%s.%s.svc.%s", t.service, t.namespace, t.domain)
}

func (t *target) authority() string {
	_, port, _ := net.SplitHostPort(t.api)
	return net.JoinHostPort(t.host(), port)
}
