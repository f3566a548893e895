package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// A series is one element of a query's result: one value of an instant query, several of a range.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  point             `json:"value"`
	Values []point           `json:"values"`
}

// A point is Prometheus' [seconds, "value"].
type point struct {
	time  float64
	value float64
}

func (p *point) UnmarshalJSON(text []byte) error {
	var value string
	if err := json.Unmarshal(text, &[]any{&p.time, &value}); err != nil {
		return err
	}
	number, err := strconv.ParseFloat(value, 64)
	p.value = number
	return err
}

// api asks Prometheus, and reads the data of its answer.
func (t target) api(path string, query url.Values, data any) error {
	return getJSON(t.prometheus+"/api/v1/"+path+"?"+query.Encode(), &struct {
		Data any `json:"data"`
	}{data})
}

// vector is the result of an instant query; a scalar is a series without labels. A zero time is now.
func (t target) vector(expression string, at float64) ([]series, error) {
	query := url.Values{"query": {expression}}
	if at != 0 {
		query.Set("time", seconds(at))
	}
	var answer struct {
		ResultType string
		Result     json.RawMessage
	}
	if err := t.api("query", query, &answer); err != nil {
		return nil, err
	}
	if answer.ResultType == "scalar" {
		var scalar point
		err := json.Unmarshal(answer.Result, &scalar)
		return []series{{Value: scalar}}, err
	}
	var found []series
	err := json.Unmarshal(answer.Result, &found)
	return found, err
}

// one is the result of an instant query that must have exactly one series.
func (t target) one(expression string) (series, error) {
	found, err := t.vector(expression, 0)
	if err != nil {
		return series{}, err
	}
	if len(found) != 1 {
		return series{}, fmt.Errorf("%s has %d series, and not one", expression, len(found))
	}
	return found[0], nil
}

// matrix is the result of a range query.
func (t target) matrix(expression string, start, end float64, step time.Duration) ([]series, error) {
	var answer struct{ Result []series }
	err := t.api("query_range", url.Values{
		"query": {expression},
		"start": {seconds(start)},
		"end":   {seconds(end)},
		"step":  {seconds(step.Seconds())},
	}, &answer)
	return answer.Result, err
}

func seconds(value float64) string {
	return strconv.FormatFloat(value, 'f', 3, 64)
}
