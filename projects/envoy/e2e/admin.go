package main

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (t target) ready() check {
	return check{"ready", func() (string, error) {
		return eventually(patience, func() (string, error) {
			text, err := get("http://" + t.admin + "/ready")
			if err == nil && strings.TrimSpace(string(text)) != "LIVE" {
				err = fmt.Errorf("/ready says %q", text)
			}
			if err == nil {
				_, err = t.backend("/blue/", 200, nil)
			}
			return "LIVE, and a backend answers", err
		})
	}}
}

// version is what the program says of itself, against the tag of the image that it came in.
func (t target) version() (string, error) {
	var info struct{ Version string }
	if err := getJSON("http://"+t.admin+"/server_info", &info); err != nil {
		return "", err
	}
	// commit/version/tree state/build type/TLS library
	parts := strings.Split(info.Version, "/")
	if len(parts) < 4 {
		return "", fmt.Errorf("/server_info has the version %q", info.Version)
	}
	if parts[1] != strings.TrimPrefix(t.tag, "v") {
		return "", fmt.Errorf("the image is tagged %q, and Envoy says that it is %q", t.tag, parts[1])
	}
	if parts[2] != "Clean" || parts[3] != "RELEASE" {
		return "", fmt.Errorf("not a release build of a clean tree: %s", info.Version)
	}
	return fmt.Sprintf("%s, commit %.12s, %s build with %s", parts[1], parts[0], parts[3], parts[len(parts)-1]), nil
}

// counter is the value of one counter or gauge; one that Envoy does not have is an error.
func (t target) counter(name string) (int, error) {
	var found struct {
		Stats []struct {
			Name  string
			Value int
		}
	}
	filter := url.QueryEscape("^" + regexp.QuoteMeta(name) + "$")
	if err := getJSON("http://"+t.admin+"/stats?format=json&filter="+filter, &found); err != nil {
		return 0, err
	}
	for _, stat := range found.Stats {
		if stat.Name == name {
			return stat.Value, nil
		}
	}
	return 0, fmt.Errorf("no %s in /stats", name)
}

// rises does something and wants the counters to rise by exactly that, as soon as Envoy has counted.
func (t target) rises(by map[string]int, do func() error) (string, error) {
	before := map[string]int{}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range by {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range names {
		value, err := t.counter(name)
		if err != nil {
			return "", err
		}
		before[name] = value
	}
	if err := do(); err != nil {
		return "", err
	}
	var seen string
	_, err := eventually(countingTime, func() (string, error) {
		var said []string
		for _, name := range names {
			after, err := t.counter(name)
			if err != nil {
				return "", err
			}
			if after-before[name] != by[name] {
				return "", fmt.Errorf("%s rose by %d, and not by %d", name, after-before[name], by[name])
			}
			said = append(said, fmt.Sprintf("%s from %d to %d", name, before[name], after))
		}
		seen = strings.Join(said, ", ")
		return seen, nil
	})
	return seen, err
}

// prometheus wants the same number in the text format.
func (t target) prometheus() (string, error) {
	want, err := t.counter("cluster.blue.upstream_rq_total")
	if err != nil {
		return "", err
	}
	text, err := get("http://" + t.admin + "/stats/prometheus")
	if err != nil {
		return "", err
	}
	sample := regexp.MustCompile(`(?m)^envoy_cluster_upstream_rq_total\{envoy_cluster_name="blue"\} (\d+)$`)
	found := sample.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("no %s", sample)
	}
	if got, _ := strconv.Atoi(string(found[1])); got != want {
		return "", fmt.Errorf("%s, and /stats says %d", found[0], want)
	}
	return string(found[0]), nil
}

// unhealthy wants the endpoint that fails its health check to be known as such.
func (t target) unhealthy() (string, error) {
	var found struct {
		Clusters []struct {
			Name  string
			Hosts []struct {
				Address struct {
					Socket struct {
						Port int `json:"port_value"`
					} `json:"socket_address"`
				}
				Health struct {
					Failed bool `json:"failed_active_health_check"`
				} `json:"health_status"`
			} `json:"host_statuses"`
		} `json:"cluster_statuses"`
	}
	if err := getJSON("http://"+t.admin+"/clusters?format=json", &found); err != nil {
		return "", err
	}
	healthy, failed := []int{}, []int{}
	for _, cluster := range found.Clusters {
		for _, host := range cluster.Hosts {
			switch {
			case cluster.Name != "pool":
			case host.Health.Failed:
				failed = append(failed, host.Address.Socket.Port)
			default:
				healthy = append(healthy, host.Address.Socket.Port)
			}
		}
	}
	if len(healthy) != 1 || len(failed) != 1 {
		return "", fmt.Errorf("of the cluster pool's two endpoints one is healthy, and not %v; failed are %v", healthy, failed)
	}
	return fmt.Sprintf("endpoint %d is healthy, %d failed its health check", healthy[0], failed[0]), nil
}

// configuration wants every route that was checked in what Envoy says its configuration is.
func (t target) configuration() (string, error) {
	type dump struct {
		Type   string `json:"@type"`
		Routes []struct {
			Config struct {
				Name  string
				Hosts []struct {
					Routes []struct{ Name string }
				} `json:"virtual_hosts"`
			} `json:"route_config"`
		} `json:"static_route_configs"`
	}
	var found struct{ Configs []dump }
	if err := getJSON("http://"+t.admin+"/config_dump", &found); err != nil {
		return "", err
	}
	var names []string
	for _, config := range found.Configs {
		for _, table := range config.Routes {
			for _, host := range table.Config.Hosts {
				for _, route := range host.Routes {
					names = append(names, route.Name)
				}
			}
		}
	}
	for _, name := range []string{
		"blue", "green", "header", "weighted", "retry", "timeout", "narrow", "pool", "headers", "redirect",
	} {
		if !slices.Contains(names, name) {
			return "", fmt.Errorf("no route %q in /config_dump, only %v", name, names)
		}
	}
	return fmt.Sprintf("%d routes in %d parts of the configuration", len(names), len(found.Configs)), nil
}
