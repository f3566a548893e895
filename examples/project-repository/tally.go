package main

import (
	"encoding/json"
	"net/http"
	"sync"
)

// A tally has the votes for each choice.
type tally struct {
	lock  sync.Mutex
	votes map[string]int
}

// A count is what is answered: how many votes a choice has.
type count struct {
	Choice string `json:"choice"`
	Votes  int    `json:"votes"`
}

func newTally() http.Handler {
	counting := &tally{votes: map[string]int{}}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(writer http.ResponseWriter, _ *http.Request) { writer.WriteHeader(http.StatusOK) })
	routes.HandleFunc("POST /votes/{choice}", func(writer http.ResponseWriter, request *http.Request) {
		counting.answer(writer, http.StatusCreated, request.PathValue("choice"), 1)
	})
	routes.HandleFunc("GET /votes/{choice}", func(writer http.ResponseWriter, request *http.Request) {
		counting.answer(writer, http.StatusOK, request.PathValue("choice"), 0)
	})
	return routes
}

// answer adds votes, and tells how many there are then.
func (t *tally) answer(writer http.ResponseWriter, status int, choice string, more int) {
	t.lock.Lock()
	t.votes[choice] += more
	votes := t.votes[choice]
	t.lock.Unlock()
	writer.Header().Set("Content-Type", "application/json")
	writer.WriteHeader(status)
	_ = json.NewEncoder(writer).Encode(count{choice, votes})
}
