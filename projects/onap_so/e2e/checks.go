package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	instantiation = "/onap/so/infra/serviceInstantiation/v7/serviceInstances"
	orchestration = "/onap/so/infra/orchestrationRequests/v7"

	// How long a request that was taken may take to be shown.
	recording = 30 * time.Second

	// What SO calls a request that it cannot read, and one that misses something.
	badParameter = "SVC0002"
)

// States of a request, of SO's own list: what comes of it is decided by systems that are not there.
var states = []string{"PENDING", "IN_PROGRESS", "COMPLETE", "COMPLETED", "FAILED", "TIMEOUT", "ROLLED_BACK"}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// A target is the release under test.
type target struct {
	url, user, password string
	isLockedOut         bool          // SO has refused the user of its own configuration
	instance            string        // name of the service that was asked for
	taken               string        // id of its request, once it was taken
	patience            time.Duration // until a request that was taken is shown
}

// checks are made one after the other: who is let in, a request, and what is known of it.
func (t *target) checks() []check {
	checks := []check{
		{"nobody is let in without a password", t.noPassword},
		{"a wrong password is refused", t.wrongPassword},
		{"its own user is let in", t.letIn},
	}
	for _, each := range []check{
		{"what is no JSON is refused", t.noJSON},
		{"a request without a model is refused", t.noModel},
		{"a service can be asked for", t.create},
		{"what becomes of the request can be asked", t.follow},
		{"a request is found by its service's name", t.search},
		{"an id that is none is refused", t.invalidID},
		{"a request that was never made is not there", t.unknownID},
	} {
		checks = append(checks, check{each.name, t.asUser(each.run)})
	}
	return checks
}

// asUser leaves out what nobody can ask who is not let in: all of it would only say so again.
func (t *target) asUser(run func() (string, error)) func() (string, error) {
	return func() (string, error) {
		if t.isLockedOut {
			return "", skipped("its own user is not let in")
		}
		return run()
	}
}

// answers waits until SO says that it and its databases are up.
func (t *target) answers(patience time.Duration) check {
	return check{"is healthy", func() (string, error) {
		return eventually(patience, func() (string, error) {
			var health struct{ Status string }
			if err := getJSON(t.url+"/manage/health", &health); err != nil {
				return "", err
			}
			if health.Status != "UP" {
				return "", fmt.Errorf("its health is %q", health.Status)
			}
			return "status UP", nil
		})
	}}
}

func (t *target) noPassword() (string, error) {
	request, err := http.NewRequest(http.MethodGet, t.url+orchestration+"/"+strings.Repeat("0", 8), nil)
	if err != nil {
		return "", err
	}
	_, err = body(request, http.StatusUnauthorized)
	return "401", err
}

func (t *target) wrongPassword() (string, error) {
	request, err := t.request(http.MethodPost, instantiation, t.order())
	if err != nil {
		return "", err
	}
	request.SetBasicAuth(t.user, t.password+"x")
	_, err = body(request, http.StatusUnauthorized)
	return "401", err
}

// letIn wants any answer but that the user or the password is wrong.
func (t *target) letIn() (string, error) {
	request, err := t.request(http.MethodGet, orchestration+"/"+strings.Repeat("0", 8), "")
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	response.Body.Close()
	t.isLockedOut = response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden
	if t.isLockedOut {
		return "", fmt.Errorf("%s, with its own password, gets %s", t.user, response.Status)
	}
	return fmt.Sprintf("%s gets %s", t.user, response.Status), nil
}

func (t *target) noJSON() (string, error) {
	return t.refused(http.MethodPost, instantiation, `{"requestDetails": `)
}

func (t *target) noModel() (string, error) {
	return t.refused(http.MethodPost, instantiation, `{"requestDetails": {"requestInfo": {"source": "crosscloud"}}}`)
}

func (t *target) create() (string, error) {
	t.instance = fmt.Sprintf("crosscloud-%d", time.Now().UnixNano())
	request, err := t.request(http.MethodPost, instantiation, t.order())
	if err != nil {
		return "", err
	}
	text, err := body(request, http.StatusAccepted)
	if err != nil {
		return "", err
	}
	var answer struct {
		RequestReferences struct{ RequestID, InstanceID string }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", fmt.Errorf("%w: %.300s", err, text)
	}
	if !uuid.MatchString(answer.RequestReferences.RequestID) {
		return "", fmt.Errorf("it was taken, and has no request id: %.300s", text)
	}
	t.taken = answer.RequestReferences.RequestID
	return "request " + t.taken, nil
}

func (t *target) follow() (string, error) {
	if t.taken == "" {
		return "", fmt.Errorf("no request was taken")
	}
	return eventually(t.patience, func() (string, error) {
		var answer struct{ Request order }
		if err := t.ask(orchestration+"/"+t.taken, &answer); err != nil {
			return "", err
		}
		return t.isOurs(answer.Request)
	})
}

func (t *target) search() (string, error) {
	var answer struct {
		RequestList []struct{ Request order }
	}
	if err := t.ask(orchestration+"?filter=serviceInstanceName:EQUALS:"+t.instance, &answer); err != nil {
		return "", err
	}
	if len(answer.RequestList) != 1 {
		return "", fmt.Errorf("one request has the name %s, and not %d", t.instance, len(answer.RequestList))
	}
	return t.isOurs(answer.RequestList[0].Request)
}

func (t *target) invalidID() (string, error) {
	return t.refused(http.MethodGet, orchestration+"/no-such-id", "")
}

func (t *target) unknownID() (string, error) {
	request, err := t.request(http.MethodGet, orchestration+"/00000000-0000-4000-8000-000000000000", "")
	if err != nil {
		return "", err
	}
	_, err = body(request, http.StatusNotFound)
	return "404", err
}

// An order is a request as SO shows it.
type order struct {
	RequestID          string
	RequestType        string
	RequestScope       string
	InstanceReferences struct{ ServiceInstanceName string }
	RequestStatus      struct{ RequestState, StatusMessage string }
}

func (t *target) isOurs(found order) (string, error) {
	if found.RequestID != t.taken || found.InstanceReferences.ServiceInstanceName != t.instance {
		return "", fmt.Errorf("request %s for %s, and not %s for %q", t.taken, t.instance, found.RequestID,
			found.InstanceReferences.ServiceInstanceName)
	}
	if !slices.Contains(states, found.RequestStatus.RequestState) {
		return "", fmt.Errorf("its state is %q, which is none", found.RequestStatus.RequestState)
	}
	return fmt.Sprintf("%s of %s is %s", found.RequestType, t.instance, found.RequestStatus.RequestState), nil
}

// order is a request for a service of no kind that there is: SO takes it before it asks anybody else.
func (t *target) order() string {
	text, err := json.Marshal(map[string]any{"requestDetails": map[string]any{
		"modelInfo": map[string]any{
			"modelType":        "service",
			"modelInvariantId": "5c9e863f-2716-467b-8799-4a67f378dcaa",
			"modelVersionId":   "f3f1b4a2-9ad7-4b0e-8d80-0c1d0d2b9f7e",
			"modelName":        "crosscloud",
			"modelVersion":     "1.0",
		},
		"subscriberInfo":    map[string]any{"globalSubscriberId": "crosscloud"},
		"owningEntity":      map[string]any{"owningEntityId": "b5fc65f6-9ef0-4c2d-8b3d-7d6d5d0c2a10", "owningEntityName": "crosscloud"},
		"requestInfo":       map[string]any{"source": "crosscloud", "requestorId": "crosscloud", "instanceName": t.instance, "suppressRollback": true},
		"requestParameters": map[string]any{"subscriptionServiceType": "crosscloud", "aLaCarte": true, "userParams": []any{}},
	}})
	if err != nil {
		panic(err) // strings alone
	}
	return string(text)
}

// refused wants status 400, and SO's own word for it in the answer.
func (t *target) refused(method, path, text string) (string, error) {
	request, err := t.request(method, path, text)
	if err != nil {
		return "", err
	}
	answer, err := body(request, http.StatusBadRequest)
	if err != nil {
		return "", err
	}
	var found struct {
		RequestError struct {
			ServiceException struct{ MessageID, Text string }
		}
	}
	if err := json.Unmarshal(answer, &found); err != nil {
		return "", fmt.Errorf("%w: %.300s", err, answer)
	}
	exception := found.RequestError.ServiceException
	if exception.MessageID != badParameter {
		return "", fmt.Errorf("400 with messageId %s, and not: %.300s", badParameter, answer)
	}
	return fmt.Sprintf("400 %s: %.120s", exception.MessageID, exception.Text), nil
}

func (t *target) ask(path string, value any) error {
	request, err := t.request(http.MethodGet, path, "")
	if err != nil {
		return err
	}
	text, err := body(request, http.StatusOK)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("%s: %w: %.300s", path, err, text)
	}
	return nil
}

func (t *target) request(method, path, text string) (*http.Request, error) {
	request, err := http.NewRequest(method, t.url+path, strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth(t.user, t.password)
	request.Header.Set("Accept", "application/json")
	if text != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}
