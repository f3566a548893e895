package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// What gRPC calls errors, of those that matter here (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
const (
	invalidArgument = 3
	notFound        = 5
)

// A refusal is an error that the server answered with.
type refusal struct {
	code    int
	message string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("gRPC status %d: %s", r.code, r.message)
}

// A proxy of its own would do TLS for the controller: without one it speaks HTTP/2 as it is.
var http2 = &http.Client{Transport: func() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols}
}()}

// call sends one message to a method (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md) and reads the
// first of the answer's. A stream would go on with more; it ends here.
func call(ctx context.Context, address, method string, message []byte) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+method, bytes.NewReader(append(frame, message...)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	response, err := http2.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: HTTP %s", method, response.Status)
	}
	var head [5]byte
	if _, err := io.ReadFull(response.Body, head[:]); err == io.EOF {
		return nil, refused(response)
	} else if err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || length > readable {
		return nil, fmt.Errorf("%s: a message of %d bytes, compressed: %d", method, length, head[0])
	}
	answer := make([]byte, length)
	_, err = io.ReadFull(response.Body, answer)
	return answer, err
}

// refused is why there was no message: said at the end, or instead of everything.
func refused(response *http.Response) error {
	said := response.Trailer
	if said.Get("Grpc-Status") == "" {
		said = response.Header
	}
	code, err := strconv.Atoi(said.Get("Grpc-Status"))
	if err != nil || code == 0 {
		return fmt.Errorf("an answer without a message, and with status %q", said.Get("Grpc-Status"))
	}
	message, err := url.PathUnescape(said.Get("Grpc-Message"))
	if err != nil {
		message = said.Get("Grpc-Message")
	}
	return &refusal{code, message}
}
