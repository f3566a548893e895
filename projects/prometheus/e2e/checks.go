package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"
)

// How long Prometheus gets for what it does in its own time: it scrapes and evaluates every second.
var settling = 30 * time.Second // a test has less

// Queries that are sent between two looks at their counter.
const counted = 20

// What the chart's rules are called, and what they must come to.
const (
	recorded      = "crosscloud:answer"
	recordedValue = 42
	alertName     = "AlwaysFiring"
)

// answers waits until Prometheus says that it is ready: before that its answers mean nothing.
func (t target) answers(limit time.Duration) check {
	return check{"ready", func() (string, error) {
		return eventually(limit, func() (string, error) {
			text, err := get(t.prometheus + "/-/ready")
			return strings.TrimSpace(string(text)), err
		})
	}}
}

// checks are made one after the other, each of them strict.
func (t target) checks() []check {
	checks := []check{{"the APIs tell the versions that were built", t.version}}
	for _, job := range jobs {
		checks = append(checks,
			check{job + " is found and scraped", func() (string, error) { return t.scraped(job) }},
			check{job + " has the version that was built", func() (string, error) { return t.builtVersion(job) }},
		)
	}
	return append(checks,
		check{"node_exporter tells of its node", t.node},
		check{"a counter counts", t.counts},
		check{"PromQL", t.promQL},
		check{"instant and range queries agree", t.agree},
		check{"metadata", t.metadata},
		check{"OTLP samples are kept", t.otlp},
		check{"federation", t.federation},
		check{"a reload is taken", t.reload},
		check{"the rule fires", t.fires},
		check{"Alertmanager has the alert", t.alerted},
		check{"the alert is delivered", t.delivered},
		check{"a silence suppresses the alert", t.silenced},
	)
}

// -- versions and targets -----------------------------------------------------------------------------------------

func (t target) version() (string, error) {
	var prometheus struct{ Version, GoVersion string }
	if err := t.api("status/buildinfo", nil, &prometheus); err != nil {
		return "", err
	}
	var alertmanager struct{ VersionInfo struct{ Version string } }
	if err := getJSON(t.alertmanager+"/api/v2/status", &alertmanager); err != nil {
		return "", err
	}
	for job, version := range map[string]string{
		"prometheus": prometheus.Version, "alertmanager": alertmanager.VersionInfo.Version,
	} {
		if version != t.versions[job] {
			return "", fmt.Errorf("%s says that it is %q, and %s was built", job, version, t.versions[job])
		}
	}
	return fmt.Sprintf("Prometheus %s, Alertmanager %s", prometheus.Version, alertmanager.VersionInfo.Version), nil
}

// scraped wants a job's targets to have been found in the release's namespace, and to be up.
func (t target) scraped(job string) (string, error) {
	return eventually(settling, func() (string, error) {
		var answer struct {
			ActiveTargets []struct {
				ScrapePool, Health, LastError, ScrapeURL string
				DiscoveredLabels                         map[string]string
			}
		}
		if err := t.api("targets", url.Values{"state": {"active"}}, &answer); err != nil {
			return "", err
		}
		found := 0
		for _, target := range answer.ActiveTargets {
			if target.ScrapePool != job {
				continue
			}
			found++
			if target.Health != "up" {
				return "", fmt.Errorf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError)
			}
			if namespace := target.DiscoveredLabels["__meta_kubernetes_namespace"]; namespace != t.namespace {
				return "", fmt.Errorf("%s was found in namespace %q, and not in %s", target.ScrapeURL, namespace, t.namespace)
			}
		}
		// One Prometheus, one Alertmanager, and a node_exporter on every node that takes pods.
		if found == 0 || found > 1 && job != "node-exporter" {
			return "", fmt.Errorf("service discovery found %d targets", found)
		}
		up, err := t.vector(fmt.Sprintf("up{job=%q} == 1", job), 0)
		if err == nil && len(up) != found {
			err = fmt.Errorf("%d of %d targets have up == 1", len(up), found)
		}
		return fmt.Sprintf("up{job=%q} is 1 for %d of %d targets", job, len(up), found), err
	})
}

// builtVersion wants the build information that was scraped to say what the image's tag says.
func (t target) builtVersion(job string) (string, error) {
	metric := strings.ReplaceAll(job, "-", "_") + "_build_info"
	found, err := t.vector(fmt.Sprintf("%s{job=%q}", metric, job), 0)
	if err != nil {
		return "", err
	}
	for _, each := range found {
		if each.Metric["version"] != t.versions[job] {
			return "", fmt.Errorf("%s has version %q, and %s was built", metric, each.Metric["version"], t.versions[job])
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no %s", metric)
	}
	return fmt.Sprintf("%s has version %s, made with %s", metric, t.versions[job], found[0].Metric["goversion"]), nil
}

// -- values -------------------------------------------------------------------------------------------------------

func (t target) node() (string, error) {
	found, err := t.vector("node_uname_info", 0)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no node_uname_info")
	}
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	for _, each := range found {
		uname := each.Metric
		if uname["sysname"] != "Linux" || uname["machine"] != machine || uname["release"] == "" || uname["node"] == "" {
			return "", fmt.Errorf("node_uname_info of a Linux node on %s is %v", machine, uname)
		}
	}
	// The node's clock, as it was when Prometheus asked: both are right, and the sample is the one that was scraped.
	late, err := t.vector("abs(timestamp(node_time_seconds) - node_time_seconds) > 5", 0)
	if err != nil {
		return "", err
	}
	if len(late) > 0 {
		return "", fmt.Errorf("node_time_seconds and the time of its sample are %.1f s apart", late[0].Value.value)
	}
	return fmt.Sprintf("Linux %s on node %s", found[0].Metric["release"], found[0].Metric["node"]), nil
}

func (t target) counts() (string, error) {
	const counter = `prometheus_http_requests_total{job="prometheus",handler="/api/v1/query",code="200"}`
	if _, err := t.vector("1", 0); err != nil { // a counter that was never raised is not there
		return "", err
	}
	var before series
	if _, err := eventually(settling, func() (string, error) {
		var err error
		before, err = t.one(counter)
		return "", err
	}); err != nil {
		return "", err
	}
	for range counted {
		if _, err := t.vector("1", 0); err != nil {
			return "", err
		}
	}
	return eventually(settling, func() (string, error) {
		after, err := t.one(counter)
		if rise := after.Value.value - before.Value.value; err == nil && rise < counted {
			err = fmt.Errorf("%d queries raised %s by %.0f", counted, counter, rise)
		}
		return fmt.Sprintf("%d queries raised it from %.0f to %.0f", counted, before.Value.value, after.Value.value), err
	})
}

// What expressions without any stored series must come to, whatever the version (of 3.x: a range's start is excluded).
var expressions = []struct {
	text  string
	value float64
}{
	{"2 ^ 3 ^ 2", 512},
	{"-7 % 4", -3},
	{"1 / 0", math.Inf(1)},
	{"0 / 0", math.NaN()},
	{"absent(no_such_series)", 1},
	{"days_in_month(vector(1709164800))", 29},
	{"sum_over_time(vector(1)[5m:1m])", 5},
	{`sum(label_replace(vector(40), "x", "1", "", "") or label_replace(vector(2), "x", "2", "", ""))`, 42},
	{`label_replace(vector(6), "x", "1", "", "") * on(x) label_replace(vector(7), "x", "1", "", "")`, 42},
	{`count(vector(1) unless vector(2)) or vector(0)`, 0},
	{`histogram_quantile(0.95, label_replace(vector(90), "le", "1", "", "") or ` +
		`label_replace(vector(100), "le", "2", "", "") or label_replace(vector(100), "le", "+Inf", "", ""))`, 1.5},
}

func (t target) promQL() (string, error) {
	for _, expression := range expressions {
		found, err := t.one(expression.text)
		if err != nil {
			return "", err
		}
		got, want := found.Value.value, expression.value
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			return "", fmt.Errorf("%s is %v, and not %v", expression.text, want, got)
		}
	}
	_, err := t.vector("sum(", 0)
	if err == nil || !strings.Contains(err.Error(), "400") || !strings.Contains(err.Error(), "parse error") {
		return "", fmt.Errorf("`sum(` is a parse error, and not: %v", err)
	}
	return fmt.Sprintf("%d expressions have the values that they should, and one is refused", len(expressions)), nil
}

// agree wants the points of a range query to be what instant queries give for the same times.
func (t target) agree() (string, error) {
	return eventually(settling, func() (string, error) {
		now, err := t.one(recorded)
		if err != nil {
			return "", err
		}
		if now.Value.value != recordedValue {
			return "", fmt.Errorf("the rule records %v as %s, and not %d", now.Value.value, recorded, recordedValue)
		}
		const steps = 3
		end := math.Floor(now.Value.time)
		found, err := t.matrix(recorded, end-steps, end, time.Second)
		if err != nil {
			return "", err
		}
		if len(found) != 1 || len(found[0].Values) != steps+1 {
			return "", fmt.Errorf("%d s of %s are %d series, and not one of %d points", steps, recorded, len(found), steps+1)
		}
		for _, each := range found[0].Values {
			then, err := t.vector(recorded, each.time)
			if err != nil {
				return "", err
			}
			if len(then) != 1 || then[0].Value != each {
				return "", fmt.Errorf("%s is %v in a range, and asked for alone %v", recorded, each, then)
			}
		}
		return fmt.Sprintf("%s is %d at each of %d times, asked for in both ways", recorded, recordedValue, steps+1), nil
	})
}

func (t target) metadata() (string, error) {
	var answer map[string][]struct{ Type, Help string }
	if err := t.api("metadata", url.Values{"metric": {"node_uname_info"}}, &answer); err != nil {
		return "", err
	}
	found := answer["node_uname_info"]
	if len(found) != 1 || found[0].Type != "gauge" || found[0].Help == "" {
		return "", fmt.Errorf("node_uname_info is a gauge with a help text, and not %v", found)
	}
	return fmt.Sprintf("node_uname_info is a %s: %s", found[0].Type, found[0].Help), nil
}

// otlp sends a sample that nobody scrapes, and wants it back under the name that Prometheus must give it.
func (t target) otlp() (string, error) {
	now := time.Now()
	value := float64(now.UnixMilli()%1_000_000) + 0.5
	if err := t.push("crosscloud.pushed", "By", value, now, map[string]string{"release": t.release}); err != nil {
		return "", err
	}
	expression := fmt.Sprintf("crosscloud_pushed_bytes{job=%q,release=%q}", "crosscloud-e2e", t.release)
	return eventually(settling, func() (string, error) {
		found, err := t.one(expression)
		if err == nil && found.Value.value != value {
			err = fmt.Errorf("%s is %v, and %v was sent", expression, found.Value.value, value)
		}
		return fmt.Sprintf("crosscloud.pushed became %s %v", expression, value), err
	})
}

// push sends one sample over OTLP: a gauge, as nobody scrapes it.
func (t target) push(name, unit string, value float64, at time.Time, labels map[string]string) error {
	type attribute struct {
		Key   string            `json:"key"`
		Value map[string]string `json:"value"`
	}
	var attributes []attribute
	for key, value := range labels {
		attributes = append(attributes, attribute{key, map[string]string{"stringValue": value}})
	}
	point := map[string]any{"asDouble": value, "timeUnixNano": fmt.Sprint(at.UnixNano()), "attributes": attributes}
	text, err := json.Marshal(map[string]any{"resourceMetrics": []any{map[string]any{
		"resource": map[string]any{"attributes": []attribute{{"service.name", map[string]string{"stringValue": "crosscloud-e2e"}}}},
		"scopeMetrics": []any{map[string]any{"metrics": []any{
			map[string]any{"name": name, "unit": unit, "gauge": map[string]any{"dataPoints": []any{point}}},
		}}},
	}}})
	if err != nil {
		return err
	}
	_, err = t.post(t.prometheus+"/api/v1/otlp/v1/metrics", string(text))
	return err
}

func (t target) federation() (string, error) {
	text, err := get(t.prometheus + "/federate?" + url.Values{"match[]": {`up{job="prometheus"}`}}.Encode())
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "up{") {
			// The external labels say whose series it is, once it is elsewhere.
			if fields := strings.Fields(line); !strings.Contains(line, fmt.Sprintf("release=%q", t.release)) || fields[1] != "1" {
				return "", fmt.Errorf("federated as %s", line)
			}
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("/federate has no up{job=\"prometheus\"}: %.300s", text)
}

func (t target) reload() (string, error) {
	type runtime struct {
		ReloadConfigSuccess bool
		LastConfigTime      time.Time
	}
	var before, after runtime
	if err := t.api("status/runtimeinfo", nil, &before); err != nil {
		return "", err
	}
	// The time is in whole seconds.
	time.Sleep(time.Until(before.LastConfigTime.Add(1100 * time.Millisecond)))
	if _, err := t.post(t.prometheus+"/-/reload", ""); err != nil {
		return "", err
	}
	if err := t.api("status/runtimeinfo", nil, &after); err != nil {
		return "", err
	}
	if !after.ReloadConfigSuccess || !after.LastConfigTime.After(before.LastConfigTime) {
		return "", fmt.Errorf("the configuration that was loaded at %s has been reloaded, and now: %+v",
			before.LastConfigTime, after)
	}
	return fmt.Sprintf("loaded at %s, and again at %s", before.LastConfigTime.Format(time.TimeOnly),
		after.LastConfigTime.Format(time.TimeOnly)), nil
}

// -- the alert's way ----------------------------------------------------------------------------------------------

func (t target) fires() (string, error) {
	return eventually(settling, func() (string, error) {
		var answer struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
		if err := t.api("rules", url.Values{"type": {"alert"}}, &answer); err != nil {
			return "", err
		}
		for _, group := range answer.Groups {
			for _, rule := range group.Rules {
				if rule.Name == alertName && (rule.Health != "ok" || rule.State != "firing") {
					return "", fmt.Errorf("rule %s is %s (health %s) %s", alertName, rule.State, rule.Health, rule.LastError)
				}
			}
		}
		expression := fmt.Sprintf("ALERTS{alertname=%q,alertstate=%q}", alertName, "firing")
		found, err := t.one(expression)
		if err == nil && found.Value.value != 1 {
			err = fmt.Errorf("%s is %v", expression, found.Value.value)
		}
		return fmt.Sprintf("%s is 1", expression), err
	})
}

func (t target) alerted() (string, error) {
	return eventually(settling, func() (string, error) {
		state, err := t.alertState()
		if err == nil && state.Status.State != "active" {
			err = fmt.Errorf("%s is %s", alertName, state.Status.State)
		}
		return fmt.Sprintf("%s is active", alertName), err
	})
}

// delivered wants a notification of the alert, with the labels and the text that it must have.
func (t target) delivered() (string, error) {
	return eventually(settling, func() (string, error) {
		notifications, odd := t.inbox.received()
		if len(odd) > 0 {
			return "", fmt.Errorf("%d requests that are no notification, the first: %s", len(odd), odd[0])
		}
		if len(notifications) == 0 {
			return "", fmt.Errorf("no notification came")
		}
		last := notifications[len(notifications)-1]
		if last.Version != "4" || last.Status != "firing" || last.Receiver != "crosscloud" || len(last.Alerts) != 1 {
			return "", fmt.Errorf("not a notification of one firing alert for receiver crosscloud: %+v", last)
		}
		return fmt.Sprintf("%d notifications, the last: %v", len(notifications), last.Alerts[0].Labels), t.right(last.Alerts[0])
	})
}

// right is the error of an alert that is not what the chart's rule must make.
func (t target) right(got alert) error {
	for name, want := range map[string]string{
		"alertname": alertName,
		"severity":  "page",
		"job":       "prometheus", // of the series that it is about
		"release":   t.release,    // external labels
		"namespace": t.namespace,
	} {
		if got.Labels[name] != want {
			return fmt.Errorf("label %s of %s is %q, and not %q", name, alertName, got.Labels[name], want)
		}
	}
	if summary := got.Annotations["summary"]; summary != "prometheus is 1" {
		return fmt.Errorf("its summary is %q, and not %q", summary, "prometheus is 1")
	}
	return nil
}

type alertState struct {
	alert
	Status struct {
		State      string
		SilencedBy []string
	}
}

// alertState is the alert as Alertmanager has it now.
func (t target) alertState() (alertState, error) {
	var found []alertState
	address := t.alertmanager + "/api/v2/alerts?" + url.Values{"filter": {"alertname=" + alertName}}.Encode()
	if err := getJSON(address, &found); err != nil {
		return alertState{}, err
	}
	if len(found) != 1 {
		return alertState{}, fmt.Errorf("Alertmanager has %d alerts called %s", len(found), alertName)
	}
	return found[0], t.right(found[0].alert)
}

// silenced silences the alert, and takes that back.
func (t target) silenced() (string, error) {
	silence, err := t.silenceFor("Always.+", "of a test", 10*time.Minute)
	if err != nil {
		return "", err
	}
	suppressed, err := t.become("suppressed", silence)
	if err != nil {
		return "", err
	}
	if err := t.endSilence(silence); err != nil {
		return "", err
	}
	active, err := t.become("active", "")
	return fmt.Sprintf("%s; without it %s", suppressed, active), err
}

// silenceFor silences the alerts whose name matches, and is the silence's id.
func (t target) silenceFor(name, comment string, lasts time.Duration) (string, error) {
	now := time.Now().UTC()
	text, err := json.Marshal(map[string]any{
		"matchers":  []map[string]any{{"name": "alertname", "value": name, "isRegex": true, "isEqual": true}},
		"startsAt":  now.Format(time.RFC3339),
		"endsAt":    now.Add(lasts).Format(time.RFC3339),
		"createdBy": "crosscloud-e2e",
		"comment":   comment,
	})
	if err != nil {
		return "", err
	}
	answer, err := t.post(t.alertmanager+"/api/v2/silences", string(text))
	if err != nil {
		return "", err
	}
	var made struct{ SilenceID string }
	if err := json.Unmarshal(answer, &made); err != nil || made.SilenceID == "" {
		return "", fmt.Errorf("a silence without an id: %s", answer)
	}
	return made.SilenceID, nil
}

// endSilence takes a silence back.
func (t target) endSilence(id string) error {
	request, err := http.NewRequest(http.MethodDelete, t.alertmanager+"/api/v2/silence/"+id, nil)
	if err != nil {
		return err
	}
	_, err = body(request, http.StatusOK)
	return err
}

// become waits for the alert's state, by the silence that makes it.
func (t target) become(state, silence string) (string, error) {
	return eventually(settling, func() (string, error) {
		found, err := t.alertState()
		if err != nil {
			return "", err
		}
		if by := strings.Join(found.Status.SilencedBy, " "); found.Status.State != state || by != silence {
			return "", fmt.Errorf("%s is %s, silenced by %q; it should be %s, by %q",
				alertName, found.Status.State, by, state, silence)
		}
		return state, nil
	})
}

// post sends JSON and reads the answer, which must have status 200.
func (t target) post(address, text string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodPost, address, bytes.NewBufferString(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return body(request, http.StatusOK)
}
