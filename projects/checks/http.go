package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Bytes of an answer that are read.
const readable = 16 << 20

var client = http.Client{Timeout: 10 * time.Second}

// get is the body of an answer with status 200.
func get(url string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return body(request, http.StatusOK)
}

// body sends a request and reads the answer, which must have that status.
func body(request *http.Request, status int) ([]byte, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, readable))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != status {
		return nil, fmt.Errorf("%s %s: %s: %.300s", request.Method, request.URL, response.Status, text)
	}
	return text, nil
}

// getJSON reads an answer into a value.
func getJSON(url string, value any) error {
	text, err := get(url)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("GET %s: %w: %.300s", url, err, text)
	}
	return nil
}
