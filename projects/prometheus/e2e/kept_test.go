package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	lostSamples  = "samples of before the upgrade are there"
	lostScrapes  = "what was scraped before the upgrade is there"
	lostSilences = "the silence of before the upgrade is there"
)

// successor is what has a fake's data, as another version that has begun now.
func (f *fake) successor(version string) *fake {
	now := time.Now()
	scraped := maps.Clone(f.scraped)
	if _, there := scraped[version]; !there {
		scraped[version] = float64(now.UnixMilli()) / 1000
	}
	return &fake{
		version: version, began: now, kept: slices.Clone(f.kept), scraped: scraped, silences: slices.Clone(f.silences),
	}
}

// travel makes the checks of every stop, at a Prometheus of another version at each, which between changes. It answers
// what failed at the last two.
func travel(t *testing.T, between func(*fake)) string {
	t.Helper()
	settling = 0
	current := (&fake{scraped: map[string]float64{}}).successor("3.13.5")
	var failed []string
	for number, stop := range stops {
		if number > 0 {
			// What was stored in the millisecond in which a successor begins is not from before it.
			for began := time.Now().UnixMilli(); time.Now().UnixMilli() <= began+1; {
				time.Sleep(time.Millisecond)
			}
			current = current.successor([]string{"3.13.5", "3.15.0", "3.13.5"}[number])
			between(current)
		}
		target := serve(t, current)
		target.stop, target.versions = stop, map[string]string{"prometheus": current.version}
		found := run("prometheus", target.answers(0), target.kept()...).found()
		if number == 0 && len(found) > 0 {
			t.Fatalf("before there is anything to lose: %v", found)
		}
		failed = append(failed, slices.Sorted(maps.Keys(found))...)
	}
	slices.Sort(failed)
	return strings.Join(slices.Compact(failed), ", ")
}

func TestWhatIsStoredIsThereAtEveryStop(t *testing.T) {
	if failed := travel(t, func(*fake) {}); failed != "" {
		t.Error(failed)
	}
}

func TestWhatAnUpgradeLosesIsFound(t *testing.T) {
	for name, lose := range map[string]struct {
		between func(*fake)
		failed  string
	}{
		"all samples": {func(f *fake) {
			f.kept, f.scraped = nil, map[string]float64{f.version: float64(time.Now().Unix()) + 1}
		}, lostSamples + ", " + lostScrapes},
		"the last sample":  {func(f *fake) { f.kept = f.kept[:len(f.kept)-1] }, lostSamples + ", " + lostScrapes},
		"a sample's value": {func(f *fake) { f.kept[0].value++ }, lostSamples + ", " + lostScrapes},
		"a sample's time":  {func(f *fake) { f.kept[0].time -= 0.001 }, lostSamples + ", " + lostScrapes},
		"another's sample": {func(f *fake) {
			f.kept[0].labels = map[string]any{"namespace": "other", "stop": "before", "version": "3.13.5"}
		}, lostSamples + ", " + lostScrapes},
		"two of one":                         {func(f *fake) { f.kept = append(f.kept, f.kept[0]) }, lostSamples + ", " + lostScrapes},
		"nothing, it is the same Prometheus": {func(f *fake) { f.began = f.began.Add(-time.Hour) }, lostSamples},
		"what was scraped": {func(f *fake) {
			f.scraped = map[string]float64{f.version: float64(time.Now().Unix()) + 1}
		}, lostScrapes},
		"silences":           {func(f *fake) { f.silences = nil }, lostSilences},
		"the silence's text": {func(f *fake) { f.silences[0]["comment"] = "other" }, lostSilences},
		"the silence's end": {func(f *fake) {
			f.silences[0]["status"] = map[string]any{"state": "expired"}
		}, lostSilences},
	} {
		t.Run(name, func(t *testing.T) {
			if failed := travel(t, lose.between); failed != lose.failed {
				t.Errorf("%q", failed)
			}
		})
	}
}

func TestWithoutAnUpgradeNothingIsKept(t *testing.T) {
	if checks := start(t, "").kept(); len(checks) != 0 {
		t.Errorf("%d checks", len(checks))
	}
}
