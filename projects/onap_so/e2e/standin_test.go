package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// A standIn does what the checks look at of SO's API handler, except for the fault that a test gives it. It is no SO:
// what it takes stays as it is for ever. The project's tests run it here, and as an image on a cluster.
type standIn struct {
	lets     func(user, password string) bool // in
	requests requests
	fault    string
}

// requests are where those that were taken are kept.
type requests interface {
	save(order) error
	all() ([]order, error)
	healthy() error
}

func (s *standIn) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.URL.Path == "/manage/health" {
		status, code := "UP", http.StatusOK
		if err := s.requests.healthy(); err != nil || s.fault == "is down" {
			status, code = "DOWN", http.StatusServiceUnavailable
		}
		writer.WriteHeader(code)
		fmt.Fprintf(writer, `{"status": %q}`, status)
		return
	}
	user, password, ok := request.BasicAuth()
	switch {
	case !ok && s.fault == "lets anybody in":
	case ok && s.fault == "takes any password":
	case !ok || s.fault == "refuses everybody" || !s.lets(user, password):
		http.Error(writer, "Unauthorized", http.StatusUnauthorized)
		return
	}
	path, isOrchestration := strings.CutPrefix(request.URL.Path, orchestration)
	switch {
	case request.Method == http.MethodPost && request.URL.Path == instantiation:
		s.create(writer, request)
	case request.Method == http.MethodGet && isOrchestration:
		s.look(writer, strings.TrimPrefix(path, "/"), request.URL.Query().Get("filter"))
	default:
		http.NotFound(writer, request)
	}
}

func (s *standIn) create(writer http.ResponseWriter, request *http.Request) {
	var asked struct {
		RequestDetails struct {
			ModelInfo   *struct{ ModelType string }
			RequestInfo struct{ InstanceName string }
		}
	}
	err := json.NewDecoder(request.Body).Decode(&asked)
	if err != nil && s.fault != "takes what is no JSON" {
		refuse(writer, "Mapping of request to JSON object failed: "+err.Error())
		return
	}
	if asked.RequestDetails.ModelInfo == nil && err == nil && s.fault != "takes what has no model" {
		refuse(writer, "Error parsing request: No valid modelInfo is specified")
		return
	}
	found := order{RequestID: newID(), RequestType: "createInstance", RequestScope: "service"}
	found.InstanceReferences.ServiceInstanceName = asked.RequestDetails.RequestInfo.InstanceName
	found.RequestStatus.RequestState = "IN_PROGRESS"
	if s.fault == "has a state of its own" {
		found.RequestStatus.RequestState = "PERHAPS"
	}
	if s.fault != "forgets" {
		if err := s.requests.save(found); err != nil {
			http.Error(writer, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	writer.WriteHeader(http.StatusAccepted)
	id := found.RequestID
	if s.fault == "gives no id" {
		id = ""
	}
	fmt.Fprintf(writer, `{"requestReferences": {"requestId": %q, "instanceId": %q}}`, id, newID())
}

// look shows the request with an id, or those that a filter finds.
func (s *standIn) look(writer http.ResponseWriter, id, filter string) {
	if id != "" && !uuid.MatchString(id) && s.fault != "takes any id" {
		refuse(writer, "Request Id "+id+" is not a valid UUID")
		return
	}
	all, err := s.requests.all()
	if err != nil {
		http.Error(writer, err.Error(), http.StatusInternalServerError)
		return
	}
	type shown struct {
		Request order `json:"request"`
	}
	list := []shown{}
	for _, each := range all {
		if each.RequestID == id {
			_ = json.NewEncoder(writer).Encode(shown{each})
			return
		}
		if filter == "serviceInstanceName:EQUALS:"+each.InstanceReferences.ServiceInstanceName && s.fault != "finds nothing" {
			list = append(list, shown{each})
		}
	}
	if id == "" {
		_ = json.NewEncoder(writer).Encode(map[string]any{"requestList": list})
		return
	}
	if s.fault != "knows every id" {
		http.Error(writer, `{"requestError": {"serviceException": {"messageId": "SVC0001"}}}`, http.StatusNotFound)
	}
}

func refuse(writer http.ResponseWriter, text string) {
	writer.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(writer, `{"requestError": {"serviceException": {"messageId": "SVC0002", "text": %q}}}`, text)
}

func newID() string {
	var bytes [16]byte
	_, _ = rand.Read(bytes[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", bytes[:4], bytes[4:6], bytes[6:8], bytes[8:10], bytes[10:])
}

// -- where requests are kept: here, or in another program -------------------------------------------------------

type memory struct {
	mutex  sync.Mutex
	orders []order
}

func (m *memory) save(found order) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.orders = append(m.orders, found)
	return nil
}

func (m *memory) all() ([]order, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.orders, nil
}

func (m *memory) healthy() error { return nil }

// ServeHTTP hands them to another program.
func (m *memory) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.Method == http.MethodGet {
		all, _ := m.all()
		_ = json.NewEncoder(writer).Encode(all)
		return
	}
	var found order
	if err := json.NewDecoder(request.Body).Decode(&found); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	_ = m.save(found)
}

// remote are those of another program, which others are needed beside.
type remote struct {
	url    string
	others []string // URLs of which each must be healthy
}

func (r remote) save(found order) error {
	text, err := json.Marshal(found)
	if err != nil {
		return err
	}
	response, err := client.Post(r.url+"/requests", "application/json", bytes.NewReader(text))
	if err == nil {
		response.Body.Close()
	}
	return err
}

func (r remote) all() ([]order, error) {
	response, err := client.Get(r.url + "/requests")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var found []order
	err = json.Unmarshal(text, &found)
	return found, err
}

func (r remote) healthy() error {
	for _, url := range r.others {
		if _, err := get(url + "/manage/health"); err != nil {
			return err
		}
	}
	return nil
}
