package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A standIn does what the checks look at of Fluentd, except for the fault that a test gives it. It is no Fluentd: it
// knows one way from one input to one output. The project's tests run it here, and as an image on a cluster.
type standIn struct {
	match     string // tags that are sent on, app.** for one
	pipeline  string // a field that every record gets
	limit     int64  // bytes of a request
	flush     time.Duration
	retryWait time.Duration
	receiver  string // URL
	fault     string

	mutex   sync.Mutex
	buffer  []map[string]any
	emitted int
	retries int
}

// ServeHTTP is in_http.
func (s *standIn) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if s.fault != "unlimited" && request.ContentLength > s.limit {
		http.Error(writer, "Too large", http.StatusRequestEntityTooLarge)
		return
	}
	text, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	var records []map[string]any
	if !bytes.HasPrefix(text, []byte("[")) {
		text = slices.Concat([]byte("["), text, []byte("]"))
	}
	if err := json.Unmarshal(text, &records); err != nil && s.fault != "takes anything" {
		http.Error(writer, "400 Bad Request\n"+err.Error(), http.StatusBadRequest)
		return
	}
	tag := strings.ReplaceAll(strings.Trim(request.URL.Path, "/"), "/", ".")
	if found, _ := path.Match(strings.ReplaceAll(s.match, "**", "*"), tag); !found && s.fault != "sends everything" {
		return
	}
	moment, err := strconv.ParseInt(request.URL.Query().Get("time"), 10, 64)
	if err != nil || s.fault == "takes its own time" {
		moment = time.Now().Unix()
	}
	if s.fault == "reorders" {
		slices.Reverse(records)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, record := range records {
		record["tag"], record["time"], record["pipeline"] = tag, moment, s.pipeline
		switch s.fault {
		case "no tag":
			delete(record, "tag")
		case "no field":
			delete(record, "pipeline")
		case "mangles":
			record["message"] = "?"
		}
		s.buffer = append(s.buffer, record)
		s.emitted++
	}
}

// run is the output's buffer: what cannot be delivered is tried again.
func (s *standIn) run() {
	for ; ; time.Sleep(s.flush) {
		s.mutex.Lock()
		chunk := s.buffer
		s.buffer = nil
		s.mutex.Unlock()
		var lines bytes.Buffer
		for _, record := range chunk {
			_ = json.NewEncoder(&lines).Encode(record)
		}
		for len(chunk) > 0 && !s.deliver(lines.Bytes()) {
			if s.fault == "loses" {
				break
			}
			s.mutex.Lock()
			s.retries++
			s.mutex.Unlock()
			time.Sleep(s.retryWait)
		}
		if s.fault == "repeats" && len(chunk) > 1 {
			s.deliver(lines.Bytes())
		}
	}
}

func (s *standIn) deliver(lines []byte) bool {
	response, err := http.Post(s.receiver, "application/x-ndjson", bytes.NewReader(lines))
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// monitor is in_monitor_agent.
func (s *standIn) monitor(writer http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	emitted, queued := s.emitted, 0
	switch s.fault {
	case "counts nothing":
		emitted = 0
	case "keeps some":
		queued = 1
	}
	fmt.Fprintf(writer, `{"plugins": [
		{"plugin_id": "input", "plugin_category": "input", "type": "http", "retry_count": null, "emit_records": %d},
		{"plugin_id": "output", "plugin_category": "output", "type": "http", "output_plugin": true, "buffer_queue_length": %d,
		 "buffer_total_queued_size": %d, "retry_count": %d, "emit_records": %d}]}`, emitted, queued, queued, s.retries, emitted)
}
