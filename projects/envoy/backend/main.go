// What Envoy stands in front of: servers that tell what reached them, and fail as they are told.
//
// Arguments: name=address for each server, e.g. blue=:8081. One that is called "ill…" fails its health check.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

// seen is what a server answers: the request as it came from Envoy.
type seen struct {
	Backend string      `json:"backend"`
	Method  string      `json:"method"`
	Path    string      `json:"path"`
	Host    string      `json:"host"`
	Headers http.Header `json:"headers"`
	Attempt int         `json:"attempt"` // of /fail: which try this was
}

// state is what all servers share, by the key that a client chose.
type state struct {
	sync.Mutex
	tries    map[string]int
	held     map[string]int
	releases map[string]chan struct{}
}

func newState() *state {
	return &state{tries: map[string]int{}, held: map[string]int{}, releases: map[string]chan struct{}{}}
}

func main() {
	shared := newState()
	ended := make(chan error)
	for _, argument := range os.Args[1:] {
		name, address, ok := strings.Cut(argument, "=")
		if !ok {
			log.Fatalf("%q is not name=address", argument)
		}
		go func() { ended <- http.ListenAndServe(address, handler(name, shared)) }()
	}
	log.Fatal(<-ended)
}

func handler(name string, shared *state) http.Handler {
	mux := http.NewServeMux()
	answer := func(writer http.ResponseWriter, request *http.Request, status, attempt int) {
		writer.Header().Set("Content-Type", "application/json")
		writer.Header().Set("X-Backend-Secret", "from "+name)
		writer.WriteHeader(status)
		_ = json.NewEncoder(writer).Encode(seen{
			name, request.Method, request.URL.RequestURI(), request.Host, request.Header, attempt,
		})
	}
	mux.HandleFunc("/", func(writer http.ResponseWriter, request *http.Request) {
		answer(writer, request, http.StatusOK, 0)
	})
	// /fail/N?key=K answers 503 N times, then 200.
	mux.HandleFunc("/fail/{times}", func(writer http.ResponseWriter, request *http.Request) {
		times, _ := strconv.Atoi(request.PathValue("times"))
		attempt := shared.try(request.FormValue("key"))
		status := http.StatusOK
		if attempt <= times {
			status = http.StatusServiceUnavailable
		}
		answer(writer, request, status, attempt)
	})
	// /hold?key=K answers when /release?key=K was asked for, or nobody waits for the answer any more.
	mux.HandleFunc("/hold", func(writer http.ResponseWriter, request *http.Request) {
		released := shared.hold(request.FormValue("key"))
		select {
		case <-released:
			answer(writer, request, http.StatusOK, 0)
		case <-request.Context().Done():
		}
	})
	mux.HandleFunc("/held", func(writer http.ResponseWriter, request *http.Request) {
		fmt.Fprint(writer, shared.holds(request.FormValue("key")))
	})
	mux.HandleFunc("/release", func(writer http.ResponseWriter, request *http.Request) {
		shared.release(request.FormValue("key"))
		answer(writer, request, http.StatusOK, 0)
	})
	mux.HandleFunc("/health", func(writer http.ResponseWriter, request *http.Request) {
		status := http.StatusOK
		if strings.HasPrefix(name, "ill") {
			status = http.StatusServiceUnavailable
		}
		answer(writer, request, status, 0)
	})
	return mux
}

func (s *state) try(key string) int {
	s.Lock()
	defer s.Unlock()
	s.tries[key]++
	return s.tries[key]
}

// hold counts one more request that waits, and is closed when they are released.
func (s *state) hold(key string) <-chan struct{} {
	s.Lock()
	defer s.Unlock()
	s.held[key]++
	return s.channel(key)
}

func (s *state) holds(key string) int {
	s.Lock()
	defer s.Unlock()
	return s.held[key]
}

func (s *state) release(key string) {
	s.Lock()
	defer s.Unlock()
	select {
	case <-s.channel(key):
	default:
		close(s.channel(key))
	}
}

func (s *state) channel(key string) chan struct{} {
	if s.releases[key] == nil {
		s.releases[key] = make(chan struct{})
	}
	return s.releases[key]
}
