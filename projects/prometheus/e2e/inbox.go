package main

import (
	"encoding/json"
	"net/http"
	"sync"
)

// A notification is what Alertmanager's webhook sends, as far as it is looked at.
type notification struct {
	Version  string  `json:"version"`
	Receiver string  `json:"receiver"`
	Status   string  `json:"status"`
	Alerts   []alert `json:"alerts"`
}

// An alert is one of a notification, and one of Alertmanager's API.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// An inbox is the receiver that Alertmanager delivers to.
type inbox struct {
	mutex         sync.Mutex
	notifications []notification
	odd           []string // requests that no webhook of the chart should send
}

func newInbox() *inbox {
	return &inbox{}
}

// ServeHTTP takes a webhook's request. Alertmanager sends it as to a proxy, because it can be told the address of a
// Service only by the environment variable of its proxy; Go's server makes no difference.
func (i *inbox) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	var received notification
	if request.Method != http.MethodPost || request.URL.Path != "/alerts" {
		i.odd = append(i.odd, request.Method+" "+request.URL.Path)
		http.NotFound(writer, request)
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(writer, request.Body, readable)).Decode(&received); err != nil {
		i.odd = append(i.odd, err.Error())
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	i.notifications = append(i.notifications, received)
}

// received is what came so far, and what came that should not have.
func (i *inbox) received() ([]notification, []string) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	return append([]notification{}, i.notifications...), append([]string{}, i.odd...)
}
