package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Kinds and states of spans, as OTLP numbers them.
const (
	kindServer, kindClient = 2, 3
	statusError            = 2
)

// A span is what is sent, in the words of OTLP's JSON.
type span struct {
	TraceID    string      `json:"traceId"`
	SpanID     string      `json:"spanId"`
	ParentID   string      `json:"parentSpanId,omitempty"`
	Name       string      `json:"name"`
	Kind       int         `json:"kind"`
	Start      int64       `json:"startTimeUnixNano,string"`
	End        int64       `json:"endTimeUnixNano,string"`
	Attributes []attribute `json:"attributes,omitempty"`
	Status     status      `json:"status"`

	service string // of the resource that it belongs to
}

type attribute struct {
	Key   string         `json:"key"`
	Value map[string]any `json:"value"` // by type: stringValue, intValue, boolValue
}

type status struct {
	Code int `json:"code,omitempty"`
}

// newTraceID is the id of a trace that nobody has sent before.
func newTraceID() string {
	return randomHex(16)
}

func randomHex(length int) string {
	id := make([]byte, length)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// newSpan ended just now.
func newSpan(trace, parent, service, name string, kind int, took time.Duration) span {
	end := time.Now().UnixNano()
	return span{
		TraceID: trace, SpanID: randomHex(8), ParentID: parent, Name: name, Kind: kind,
		Start: end - took.Nanoseconds(), End: end, service: service,
	}
}

func (s span) with(key, kind string, value any) span {
	s.Attributes = append(s.Attributes, attribute{key, map[string]any{kind: value}})
	return s
}

// sendJSON sends spans over OTLP/HTTP, in one request.
func (t target) sendJSON(spans ...span) error {
	var resources []any
	for _, each := range spans {
		resources = append(resources, map[string]any{
			"resource":   map[string]any{"attributes": []attribute{{"service.name", map[string]any{"stringValue": each.service}}}},
			"scopeSpans": []any{map[string]any{"spans": []span{each}}},
		})
	}
	text, err := json.Marshal(map[string]any{"resourceSpans": resources})
	if err != nil {
		return err
	}
	_, err = t.post(text, http.StatusOK)
	return err
}

// post sends a body to the OTLP/HTTP port, and wants that status.
func (t target) post(text []byte, status int) ([]byte, error) {
	request, err := http.NewRequest(http.MethodPost, t.otlpHTTP+"/v1/traces", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return body(request, status)
}

// -- gRPC, as far as one call needs it -----------------------------------------------------------------------------

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// sendGRPC sends one span over OTLP/gRPC: HTTP/2 without TLS, and a message with a prefix of five bytes.
func (t target) sendGRPC(sent span) error {
	message := export(sent)
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	request, err := http.NewRequest(http.MethodPost, t.otlpGRPC+exportMethod, bytes.NewReader(frame))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: client.Timeout}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil { // the trailers come after it
		return err
	}
	code := or(response.Trailer.Get("Grpc-Status"), response.Header.Get("Grpc-Status"))
	if response.StatusCode != http.StatusOK || code != "0" {
		return fmt.Errorf("%s, gRPC status %q %s", response.Status, code,
			or(response.Trailer.Get("Grpc-Message"), response.Header.Get("Grpc-Message")))
	}
	return nil
}

// export is a span as the protocol buffer ExportTraceServiceRequest, without attributes.
func export(sent span) []byte {
	trace, _ := hex.DecodeString(sent.TraceID)
	id, _ := hex.DecodeString(sent.SpanID)
	text := message(
		bytesField(1, trace), bytesField(2, id), bytesField(5, []byte(sent.Name)),
		[]byte{6 << 3, byte(sent.Kind)}, fixedField(7, sent.Start), fixedField(8, sent.End),
	)
	name := message(bytesField(1, []byte("service.name")), bytesField(2, bytesField(1, []byte(sent.service))))
	resource := bytesField(1, bytesField(1, name))
	return bytesField(1, message(resource, bytesField(2, bytesField(2, text))))
}

func message(fields ...[]byte) []byte {
	return bytes.Join(fields, nil)
}

func bytesField(number byte, value []byte) []byte {
	return append(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(value))), value...)
}

func fixedField(number byte, value int64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{number<<3 | 1}, uint64(value))
}
