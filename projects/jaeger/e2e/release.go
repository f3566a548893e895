package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A target is the release under test, by the addresses of its ports (http://host:port), and what it must know.
type target struct {
	query    string
	otlpHTTP string
	otlpGRPC string
	sampling string
	admin    string
	version  string
	rates    map[string]float64 // of sampling, by service; * for the others
}

func fromEnvironment(env environment) (target, error) {
	found := target{version: env("CROSSCLOUD_VERSION"), rates: map[string]float64{}}
	if found.version == "" {
		return target{}, errors.New("CROSSCLOUD_VERSION must be set")
	}
	for port, address := range map[string]*string{
		"query": &found.query, "otlp-http": &found.otlpHTTP, "otlp-grpc": &found.otlpGRPC,
		"sampling": &found.sampling, "admin": &found.admin,
	} {
		service, err := env.service("", port)
		if err != nil {
			return target{}, err
		}
		*address = "http://" + service
	}
	for _, text := range strings.Split(env("SAMPLING"), ",") {
		service, value, _ := strings.Cut(text, "=")
		rate, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return target{}, fmt.Errorf("SAMPLING: %q is not service=rate", text)
		}
		found.rates[service] = rate
	}
	return found, nil
}
