package main

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"sync"
)

// A record is an event as it arrives, with the tag and time that the chart's configuration puts into it.
type record map[string]any

// A receiver is where Fluentd sends to: newline-delimited JSON, in chunks.
type receiver struct {
	mutex   sync.Mutex
	records []record
	refuse  bool // answer that there is no time for it
	refused int  // chunks
}

func receive(listener net.Listener) *receiver {
	receiver := &receiver{}
	go func() { _ = http.Serve(listener, receiver) }()
	return receiver
}

func (r *receiver) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.refuse {
		r.refused++
		writer.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	lines := bufio.NewScanner(request.Body)
	lines.Buffer(nil, readable)
	for lines.Scan() {
		var found record
		if json.Unmarshal(lines.Bytes(), &found) != nil {
			found = record{"unreadable": lines.Text()}
		}
		r.records = append(r.records, found)
	}
}

// with are the records in which a field has that value, in the order of their arrival.
func (r *receiver) with(field string, value any) []record {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var found []record
	for _, each := range r.records {
		if each[field] == value {
			found = append(found, each)
		}
	}
	return found
}

// refusing makes the receiver have no time, or have it again; the number of chunks that were refused so far.
func (r *receiver) refusing(refuse bool) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.refuse = refuse
	return r.refused
}

func (r *receiver) refusals() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.refused
}
