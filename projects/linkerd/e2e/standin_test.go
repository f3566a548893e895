package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// A standIn does what the checks look at of Linkerd's destination controller, except for the fault that a test gives
// it. It is no Linkerd: it looks up what it is asked, once, and then says no more. The project's tests run it here, and
// as an image on a cluster, where it asks the API with the rights that the chart gives.
type standIn struct {
	domain string
	lookup lookup
	fault  string

	streams atomic.Int64
}

// A lookup is what the cluster has of Services; nil where there is none.
type lookup interface {
	byName(namespace, name string) (*service, error)
	byAddress(address string) (*service, error)
}

type service struct {
	namespace, name, address string
	endpoints                []string // addresses of its pods
}

// ServeHTTP is gRPC, as far as it goes, over HTTP/2 without TLS.
func (s *standIn) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	text, err := io.ReadAll(request.Body)
	if err != nil || len(text) < 5 {
		http.Error(writer, "no message", http.StatusBadRequest)
		return
	}
	path := ""
	_ = each(text[5:], func(field part) error {
		if field.number == 2 {
			path = string(field.bytes)
		}
		return nil
	})
	var answer []byte
	switch request.URL.Path {
	case getMethod:
		s.streams.Add(1)
		answer, err = s.get(path)
	case profileMethod:
		answer, err = s.profile(path)
	default:
		err = &refusal{12, "no such method"}
	}
	writer.Header().Set("Content-Type", "application/grpc")
	writer.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	if err == nil {
		_, _ = writer.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(answer))), answer...))
		writer.(http.Flusher).Flush()
		<-request.Context().Done() // a change would be told
		return
	}
	code, message := 13, err.Error()
	if found, ok := err.(*refusal); ok {
		code, message = found.code, found.message
	}
	writer.Header().Set("Grpc-Status", fmt.Sprint(code))
	writer.Header().Set("Grpc-Message", message)
}

func (s *standIn) get(path string) ([]byte, error) {
	host, port, err := net.SplitHostPort(path)
	if err != nil {
		return nil, &refusal{invalidArgument, "Invalid authority: " + path}
	}
	if net.ParseIP(host) != nil && s.fault != "takes addresses" {
		return nil, &refusal{invalidArgument, "IP queries not supported by Get API: host=" + host}
	}
	namespace, name, ok := s.split(host)
	if !ok {
		if s.fault == "takes any name" || s.fault == "takes addresses" {
			return message(3, message(1, nil)), nil
		}
		return nil, &refusal{invalidArgument, "Invalid authority: " + path}
	}
	found, err := s.lookup.byName(namespace, name)
	if err != nil {
		return nil, err
	}
	if found == nil && s.fault == "knows every Service" {
		return message(3, []byte{1 << 3, 1}), nil
	}
	if found == nil {
		return nil, &refusal{notFound, fmt.Sprintf("Service %s.%s not found", name, namespace)}
	}
	addresses := found.endpoints
	switch s.fault {
	case "names itself":
		addresses = []string{found.address}
	case "names a stranger":
		addresses = []string{"127.0.0.1"}
	case "no endpoints":
		return message(3, []byte{1 << 3, 1}), nil
	}
	var set []byte
	for _, address := range addresses {
		set = append(set, message(1, message(1, tcp(net.JoinHostPort(address, port))))...)
	}
	for key, value := range map[string]string{"namespace": found.namespace, "service": found.name} {
		if s.fault != "no labels" {
			set = append(set, message(2, append(message(1, []byte(key)), message(2, []byte(value))...))...)
		}
	}
	return message(1, set), nil
}

func (s *standIn) profile(path string) ([]byte, error) {
	host, _, err := net.SplitHostPort(path)
	if err != nil {
		return nil, &refusal{invalidArgument, "invalid authority: " + path}
	}
	if net.ParseIP(host) != nil {
		found, err := s.lookup.byAddress(host)
		if err != nil || found == nil || s.fault == "knows no addresses" {
			return nil, err
		}
		host = fmt.Sprintf("%s.%s.svc.%s", found.name, found.namespace, s.domain)
	}
	if s.fault == "another name" {
		host = "x" + host
	}
	return message(5, []byte(host)), nil
}

// split reads NAME.NAMESPACE.svc.DOMAIN.
func (s *standIn) split(host string) (namespace, name string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(host, ".svc."+s.domain), ".")
	if !strings.HasSuffix(host, ".svc."+s.domain) || len(parts) != 2 {
		return "", "", false
	}
	return parts[1], parts[0], true
}

// admin is the controller's admin server.
func (s *standIn) admin(writer http.ResponseWriter, request *http.Request) {
	count := s.streams.Load()
	if s.fault == "counts nothing" {
		count = 0
	}
	switch request.URL.Path {
	case "/ready":
		fmt.Fprintln(writer, "ok")
	case "/ping":
		fmt.Fprintln(writer, map[bool]string{true: "?", false: "pong"}[s.fault == "no pong"])
	case "/metrics":
		labels := `grpc_service="io.linkerd.proxy.destination.Destination",grpc_type="server_stream"`
		fmt.Fprintf(writer, "grpc_server_started_total{grpc_method=\"Get\",%s} %d\n", labels, count)
		fmt.Fprintf(writer, "grpc_server_started_total{grpc_method=\"GetProfile\",%s} 2\n", labels)
	default:
		http.NotFound(writer, request)
	}
}

// server speaks HTTP/2 to who asks with it.
func server(handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: handler, Protocols: protocols}
}

// message is a field of bytes, in protobuf's wire format.
func message(number uint64, value []byte) []byte {
	return append(binary.AppendUvarint(binary.AppendUvarint(nil, number<<3|2), uint64(len(value))), value...)
}

// tcp is a TcpAddress.
func tcp(text string) []byte {
	address := netip.MustParseAddrPort(text)
	var ip []byte
	if address.Addr().Is4() {
		bytes := address.Addr().As4()
		ip = binary.LittleEndian.AppendUint32([]byte{1<<3 | 5}, binary.BigEndian.Uint32(bytes[:]))
	} else {
		bytes := address.Addr().As16()
		halves := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, binary.BigEndian.Uint64(bytes[:8]))
		ip = message(2, binary.LittleEndian.AppendUint64(append(halves, 2<<3|1), binary.BigEndian.Uint64(bytes[8:])))
	}
	return append(message(1, ip), binary.AppendUvarint([]byte{2 << 3}, uint64(address.Port()))...)
}
