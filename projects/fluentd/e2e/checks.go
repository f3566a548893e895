package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// How long a record may take to arrive: the chart's configuration has buffers flushed every half second.
	delivery = 20 * time.Second

	// Records of the batch that must arrive whole, once each and in order.
	batch = 500
)

// A target is the release under test, and where it sends to.
type target struct {
	input    string // URL of in_http
	monitor  string // URL of in_monitor_agent
	receiver *receiver
	patience time.Duration // until what was sent has arrived
}

// checks are made one after the other.
func (t target) checks() []check {
	return []check{
		{"a record comes out with its tag and fields", t.recordComesOut},
		{"the time that a record was given", t.time},
		{"a tag that is not routed goes nowhere", t.notRouted},
		{"what is no JSON is refused", t.badRequest},
		{"a body that is too large is refused", t.tooLarge},
		{"a batch arrives whole, once and in order", t.batchArrives},
		{"nothing is lost while the receiver has no time", t.retries},
		{"the monitor counts, and its buffer is empty", t.counts},
	}
}

// answers waits until Fluentd has started its inputs.
func (t target) answers(patience time.Duration) check {
	return check{"answers at all", func() (string, error) {
		return eventually(patience, func() (string, error) {
			plugins, err := t.plugins()
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%d plugins run", len(plugins)), nil
		})
	}}
}

func (t target) recordComesOut() (string, error) {
	id := "record"
	if err := t.post("app.web", map[string]any{"id": id, "message": "grüße, 世界", "code": 200}); err != nil {
		return "", err
	}
	found, err := t.arrives(id, 1)
	if err != nil {
		return "", err
	}
	want := record{"id": id, "message": "grüße, 世界", "code": float64(200), "tag": "app.web", "pipeline": "crosscloud"}
	for field, value := range want {
		if found[0][field] != value {
			return "", fmt.Errorf("%s is %v, and not %v: %v", field, value, found[0][field], found[0])
		}
	}
	return fmt.Sprint(found[0]), nil
}

func (t target) time() (string, error) {
	const id, moment = "time", 1518756037
	if err := t.post(fmt.Sprintf("app.web?time=%d", moment), map[string]any{"id": id}); err != nil {
		return "", err
	}
	found, err := t.arrives(id, 1)
	if err != nil {
		return "", err
	}
	if found[0]["time"] != float64(moment) {
		return "", fmt.Errorf("the record's time is %d, and not %v", moment, found[0]["time"])
	}
	return fmt.Sprintf("time is %d", moment), nil
}

// notRouted sends a record that no rule takes, and one that a rule takes after it.
func (t target) notRouted() (string, error) {
	if err := t.post("elsewhere.web", map[string]any{"id": "not routed"}); err != nil {
		return "", err
	}
	if err := t.post("app.after", map[string]any{"id": "after"}); err != nil {
		return "", err
	}
	if _, err := t.arrives("after", 1); err != nil {
		return "", err
	}
	if found := t.receiver.with("id", "not routed"); len(found) > 0 {
		return "", fmt.Errorf("no rule takes elsewhere.web, and it came out: %v", found[0])
	}
	return "elsewhere.web did not come out, app.after did", nil
}

func (t target) badRequest() (string, error) {
	request, err := http.NewRequest(http.MethodPost, t.input+"/app.web", strings.NewReader(`{"id": `))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	text, err := body(request, http.StatusBadRequest)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("400: %.80s", strings.Join(strings.Fields(string(text)), " ")), nil
}

// tooLarge sends more than the chart's configuration lets in, 1 MiB.
func (t target) tooLarge() (string, error) {
	text, err := json.Marshal(map[string]any{"id": "large", "text": strings.Repeat("x", 2<<20)})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequest(http.MethodPost, t.input+"/app.web", bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	// Waiting for "100 Continue" keeps the body at home when the answer comes first.
	request.Header.Set("Expect", "100-continue")
	if _, err = body(request, http.StatusRequestEntityTooLarge); err != nil {
		return "", err
	}
	return "2 MiB: 413", nil
}

func (t target) batchArrives() (string, error) {
	records := make([]map[string]any, batch)
	for number := range records {
		records[number] = map[string]any{"id": "batch", "number": number}
	}
	if err := t.post("app.batch", records); err != nil {
		return "", err
	}
	found, err := t.arrives("batch", batch)
	if err != nil {
		return "", err
	}
	for number, each := range found {
		if each["number"] != float64(number) {
			return "", fmt.Errorf("record %d came where %d should be", int(each["number"].(float64)), number)
		}
	}
	return fmt.Sprintf("%d records, in order", len(found)), nil
}

// retries has the receiver refuse what comes, until Fluentd has tried at least twice.
func (t target) retries() (string, error) {
	before := t.receiver.refusing(true)
	defer t.receiver.refusing(false)
	if err := t.post("app.web", map[string]any{"id": "retried"}); err != nil {
		return "", err
	}
	tries, err := eventually(t.patience, func() (string, error) {
		if tries := t.receiver.refusals() - before; tries < 2 {
			return "", fmt.Errorf("%d tries", tries)
		}
		return "refused twice", nil
	})
	if err != nil {
		return "", err
	}
	t.receiver.refusing(false)
	if _, err := t.arrives("retried", 1); err != nil {
		return "", err
	}
	return tries + ", then delivered, once", nil
}

// counts wants the output to have emitted what was sent, and to hold nothing back.
func (t target) counts() (string, error) {
	return eventually(t.patience, func() (string, error) {
		plugins, err := t.plugins()
		if err != nil {
			return "", err
		}
		output, ok := plugins["output"]
		if !ok {
			return "", fmt.Errorf("no plugin with id output among %d", len(plugins))
		}
		if output.Emitted < batch {
			return "", fmt.Errorf("emit_records is %d after more than %d records", output.Emitted, batch)
		}
		if output.Buffered != 0 || output.Queue != 0 {
			return "", fmt.Errorf("%d bytes in %d chunks wait", output.Buffered, output.Queue)
		}
		return fmt.Sprintf("emit_records is %d, buffer_total_queued_size is 0, retry_count is %d", output.Emitted, output.Retries), nil
	})
}

// A plugin as in_monitor_agent shows it.
type plugin struct {
	ID       string `json:"plugin_id"`
	Emitted  int    `json:"emit_records"`
	Queue    int    `json:"buffer_queue_length"`
	Buffered int    `json:"buffer_total_queued_size"`
	Retries  int    `json:"retry_count"`
}

func (t target) plugins() (map[string]plugin, error) {
	var answer struct{ Plugins []plugin }
	if err := getJSON(t.monitor+"/api/plugins.json", &answer); err != nil {
		return nil, err
	}
	found := map[string]plugin{}
	for _, each := range answer.Plugins {
		found[each.ID] = each
	}
	return found, nil
}

// post sends a record, or several, under a tag.
func (t target) post(tag string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, t.input+"/"+tag, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	_, err = body(request, http.StatusOK)
	return err
}

// arrives waits for exactly so many records with that id.
func (t target) arrives(id string, count int) ([]record, error) {
	var found []record
	_, err := eventually(t.patience, func() (string, error) {
		if found = t.receiver.with("id", id); len(found) < count {
			return "", fmt.Errorf("%d of %d records with id %q arrived", len(found), count, id)
		}
		return "", nil
	})
	if err == nil && len(found) > count {
		err = fmt.Errorf("%d records with id %q arrived, and %d were sent", len(found), id, count)
	}
	return found, err
}
