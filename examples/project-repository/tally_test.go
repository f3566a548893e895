package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAVoteCounts(t *testing.T) {
	server := httptest.NewServer(newTally())
	defer server.Close()
	for range 2 {
		if answer, err := http.Post(server.URL+"/votes/tea", "", strings.NewReader("")); err != nil || answer.StatusCode != http.StatusCreated {
			t.Fatal(answer, err)
		}
	}
	answer := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/votes/tea", nil)
	server.Config.Handler.ServeHTTP(answer, request)
	if got := strings.TrimSpace(answer.Body.String()); got != `{"choice":"tea","votes":2}` {
		t.Error(got)
	}
}
