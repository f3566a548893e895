package main

import (
	"fmt"
	"slices"
)

// Where on the way of an upgrade this program runs (CROSSCLOUD_UPGRADE), in their order.
var stops = []string{"before", "after", "back"}

// stop is one of stops; empty: there is no upgrade.
func (env environment) stop() (string, error) {
	stop := env("CROSSCLOUD_UPGRADE")
	if stop != "" && !slices.Contains(stops, stop) {
		return "", fmt.Errorf("CROSSCLOUD_UPGRADE=%q is none of %q", stop, stops)
	}
	return stop, nil
}
