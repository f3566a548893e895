package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// How far back samples and silences of an earlier stop are looked for.
const journey = 6 * time.Hour

// What matches no alert, so that its silence has no effect on other checks.
const nobody = "Nobody"

// kept is what is stored at every stop, and has to be there at those that follow. None without an upgrade.
func (t target) kept() []check {
	stop := slices.Index(stops, t.stop)
	if stop < 0 {
		return nil
	}
	var checks []check
	if stop == 0 {
		checks = append(checks, check{"a silence is made that lasts", t.silence})
	} else {
		checks = append(checks,
			check{"samples of before the upgrade are there", func() (string, error) { return t.stored(stops[:stop]) }},
			check{"what was scraped before the upgrade is there", func() (string, error) { return t.wasScraped(stops[:stop]) }},
			check{"the silence of before the upgrade is there", t.isSilenced},
		)
	}
	return append(checks, check{"a sample is stored " + t.stop, func() (string, error) {
		if err := t.store(time.Now()); err != nil {
			return "", err
		}
		return eventually(settling, func() (string, error) { return t.stored(stops[stop : stop+1]) })
	}})
}

// store sends a sample whose value is its own time, in milliseconds: nobody who has not kept it knows that.
func (t target) store(now time.Time) error {
	return t.push("crosscloud.kept", "", float64(now.UnixMilli()), now, map[string]string{
		"namespace": t.namespace, "stop": t.stop, "version": t.versions["prometheus"],
	})
}

// A sample is one that was stored at a stop of the way.
type sample struct {
	point
	version string // of the Prometheus that has taken it
}

// stored wants the samples of stops, one each, at the times that they say themselves, from before this Prometheus began
// if it was another that has taken them.
func (t target) stored(at []string) (string, error) {
	began, err := t.began()
	if err != nil {
		return "", err
	}
	var seen []string
	for _, stop := range at {
		found, err := t.storedAt(stop)
		if err != nil {
			return "", err
		}
		if found.version != t.versions["prometheus"] && !moment(found.time).Before(began) {
			return "", fmt.Errorf("the sample of %q is of %s, and the Prometheus that has it runs since %s",
				stop, moment(found.time).Format(time.TimeOnly), began.Format(time.TimeOnly))
		}
		seen = append(seen, fmt.Sprintf("%s at %s by %s", stop, moment(found.time).Format(time.TimeOnly), found.version))
	}
	return fmt.Sprintf("stored %s; this Prometheus %s runs since %s",
		strings.Join(seen, ", "), t.versions["prometheus"], began.Format(time.TimeOnly)), nil
}

// storedAt is the sample of a stop, as it was stored.
func (t target) storedAt(stop string) (sample, error) {
	expression := fmt.Sprintf("crosscloud_kept{namespace=%q,stop=%q}[%.0fs]", t.namespace, stop, journey.Seconds())
	found, err := t.vector(expression, 0)
	if err != nil {
		return sample{}, err
	}
	if len(found) != 1 || len(found[0].Values) != 1 {
		return sample{}, fmt.Errorf("%s has %d series, and not one of one sample: %v", expression, len(found), found)
	}
	stored := sample{found[0].Values[0], found[0].Metric["version"]}
	if said := time.UnixMilli(int64(stored.value)); !said.Equal(moment(stored.time)) {
		return sample{}, fmt.Errorf("%s was stored for %s, and is there at %s", expression, said, moment(stored.time))
	}
	return stored, nil
}

// wasScraped wants Prometheus to know of itself what it has scraped when those samples were stored.
func (t target) wasScraped(at []string) (string, error) {
	var seen []string
	for _, stop := range at {
		stored, err := t.storedAt(stop)
		if err != nil {
			return "", err
		}
		const expression = `prometheus_build_info{job="prometheus"}`
		found, err := t.vector(expression, stored.time)
		if err != nil {
			return "", err
		}
		// The pod of before may be found for a while beside the one that has taken its place.
		if !slices.ContainsFunc(found, func(each series) bool { return each.Metric["version"] == stored.version }) {
			return "", fmt.Errorf("%s of %q, at %s, has no version %s: %v",
				expression, stop, moment(stored.time).Format(time.TimeOnly), stored.version, found)
		}
		seen = append(seen, fmt.Sprintf("%s at %s", stored.version, moment(stored.time).Format(time.TimeOnly)))
	}
	return "prometheus_build_info was " + strings.Join(seen, ", "), nil
}

// began is when the Prometheus that answers has started.
func (t target) began() (time.Time, error) {
	var answer struct{ StartTime time.Time }
	err := t.api("status/runtimeinfo", nil, &answer)
	if err == nil && answer.StartTime.IsZero() {
		err = errors.New("Prometheus does not say when it has started")
	}
	return answer.StartTime, err
}

// silence makes one that has to be there at the stops that follow.
func (t target) silence() (string, error) {
	id, err := t.silenceFor(nobody, t.namespace, journey)
	if err != nil {
		return "", err
	}
	seen, err := t.isSilenced()
	if err == nil && !strings.Contains(seen, id) {
		err = fmt.Errorf("%s was made, and: %s", id, seen)
	}
	return seen, err
}

// isSilenced wants the silence of the first stop, and no other.
func (t target) isSilenced() (string, error) {
	return eventually(settling, func() (string, error) {
		var found []struct {
			ID, Comment string
			Status      struct{ State string }
		}
		// By the matcher that they have: a regular expression.
		address := t.alertmanager + "/api/v2/silences?" + url.Values{"filter": {"alertname=~" + nobody}}.Encode()
		if err := getJSON(address, &found); err != nil {
			return "", err
		}
		if len(found) != 1 || found[0].Comment != t.namespace || found[0].Status.State != "active" {
			return "", fmt.Errorf("one active silence of %s was made at first, and there are: %+v", t.namespace, found)
		}
		return fmt.Sprintf("silence %s is active", found[0].ID), nil
	})
}

// moment is a point's time: Prometheus' are in whole milliseconds.
func moment(seconds float64) time.Time {
	return time.UnixMilli(int64(seconds*1000 + 0.5)).UTC()
}
