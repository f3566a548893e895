package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A server answers as CoreDNS should, except for the fault that a test gives it.
type server struct {
	fault   string
	queries atomic.Int64
}

func (s *server) ServeDNS(writer dns.ResponseWriter, question *dns.Msg) {
	s.queries.Add(1)
	answer := new(dns.Msg).SetReply(question)
	asked := question.Question[0]
	_, tcp := writer.RemoteAddr().(*net.TCPAddr)
	records := map[string]string{
		"kubernetes.default.svc.cluster.local. A":            "10.96.0.1",
		"coredns-head.cell.svc.cluster.local. A":             "127.0.0.1",
		"_dns._udp.coredns-head.cell.svc.cluster.local. SRV": "0 100 53 coredns-head.cell.svc.cluster.local.",
		"1.0.0.127.in-addr.arpa. PTR":                        "coredns-head.cell.svc.cluster.local.",
		"www.example.test. A":                                "192.0.2.11",
	}
	switch s.fault {
	case "wrong address":
		records["kubernetes.default.svc.cluster.local. A"] = "10.96.0.2"
	case "wrong own address":
		records["coredns-head.cell.svc.cluster.local. A"] = "127.0.0.2"
	case "wrong port":
		records["_dns._udp.coredns-head.cell.svc.cluster.local. SRV"] = "0 100 54 coredns-head.cell.svc.cluster.local."
	case "wrong reverse":
		records["1.0.0.127.in-addr.arpa. PTR"] = "other.cell.svc.cluster.local."
	case "wrong host":
		records["www.example.test. A"] = "192.0.2.12"
	case "wrong over tcp":
		if tcp {
			records["kubernetes.default.svc.cluster.local. A"] = "10.96.0.2"
		}
	case "mail":
		records["kubernetes.default.svc.cluster.local. MX"] = "10 mail.example.test."
	}
	kind := dns.TypeToString[asked.Qtype]
	if data, ok := records[asked.Name+" "+kind]; ok {
		record, err := dns.NewRR(fmt.Sprintf("%s 30 IN %s %s", asked.Name, kind, data))
		if err != nil {
			panic(err)
		}
		answer.Answer = append(answer.Answer, record)
		if s.fault == "two addresses" {
			second := dns.Copy(record)
			answer.Answer = append(answer.Answer, second)
		}
	} else if strings.HasPrefix(asked.Name, "no-such-") {
		answer.Rcode = dns.RcodeNameError
		if s.fault == "no error" {
			answer.Rcode = dns.RcodeSuccess
		}
		if s.fault != "no SOA" {
			soa, _ := dns.NewRR("cluster.local. 30 IN SOA ns.dns.cluster.local. admin.cluster.local. 1 2 3 4 5")
			answer.Ns = append(answer.Ns, soa)
		}
	}
	_ = writer.WriteMsg(answer)
}

func (s *server) ServeHTTP(writer http.ResponseWriter, _ *http.Request) {
	count := s.queries.Load()
	if s.fault == "counts nothing" {
		count = 0
	}
	// Two series: the requests over all labels are their sum.
	fmt.Fprintf(writer, "coredns_dns_requests_total{server=\"dns://:53\",type=\"A\"} %d\n", count)
	fmt.Fprintf(writer, "coredns_dns_requests_total{server=\"dns://:53\",type=\"MX\"} 3\ncoredns_dns_requests_total_x 7\n")
}

func start(t *testing.T, fault string) target {
	t.Helper()
	server := &server{fault: fault}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := net.Listen("tcp", packets.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range []*dns.Server{{PacketConn: packets, Handler: server}, {Listener: stream, Handler: server}} {
		go func() { _ = each.ActivateAndServe() }()
	}
	metrics := httptest.NewServer(server)
	t.Cleanup(func() { packets.Close(); stream.Close(); metrics.Close() })
	return target{
		dns:        packets.LocalAddr().String(),
		metrics:    strings.TrimPrefix(metrics.URL, "http://"),
		domain:     "cluster.local",
		namespace:  "cell",
		service:    "coredns-head",
		address:    netip.MustParseAddr("127.0.0.1"),
		kubernetes: netip.MustParseAddr("10.96.0.1"),
		hosts:      []record{{"www.example.test", netip.MustParseAddr("192.0.2.11")}},
	}
}

func TestAServerThatAnswersPasses(t *testing.T) {
	target := start(t, "")
	report := run("coredns", target.answers(time.Second), target.checks()...)
	if report.failed() != 0 || len(report.cases) != 10 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestEveryFaultIsFoundByItsCheck(t *testing.T) {
	for fault, check := range map[string]string{
		"wrong address":     "service name over UDP",
		"two addresses":     "service name over UDP",
		"wrong over tcp":    "service name over TCP",
		"wrong own address": "name of its own service",
		"wrong port":        "named port",
		"wrong reverse":     "reverse lookup",
		"mail":              "name without such a record",
		"no error":          "NXDOMAIN",
		"no SOA":            "NXDOMAIN",
		"counts nothing":    "metrics count the requests",
		"wrong host":        "hosts zone: www.example.test",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			failed := map[string]bool{}
			target := start(t, fault)
			for _, result := range run("coredns", target.answers(time.Second), target.checks()...).cases {
				failed[result.Name] = result.Failure != nil
			}
			if !failed[check] {
				t.Errorf("%s passed", check)
			}
		})
	}
}

func TestAServerThatIsNotThereFailsOneCheck(t *testing.T) {
	target := start(t, "")
	target.dns = "127.0.0.1:1"
	if report := run("coredns", target.answers(0), target.checks()...); len(report.cases) != 1 || report.failed() != 1 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestTheReportIsJUnit(t *testing.T) {
	report := &report{suite: "coredns"}
	report.make(check{"good", func() (string, error) { return "seen", nil }})
	report.make(check{"bad", func() (string, error) { return "", fmt.Errorf("a < b") }})
	report.make(check{"left out", func() (string, error) { return "", skipped("no such thing here") }})
	path := filepath.Join(t.TempDir(), "junit.xml")
	if err := report.write(path); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	for _, part := range []string{
		`tests="3" failures="1" skipped="1"`, `name="good"`, `failure message="a &lt; b"`,
		`skipped message="no such thing here"`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("no %s in %s", part, text)
		}
	}
}

func TestTheEnvironmentSaysWhereTheServiceIs(t *testing.T) {
	environment := map[string]string{
		"CROSSCLOUD_RELEASE":                   "coredns-v1-14-7",
		"CROSSCLOUD_NAMESPACE":                 "cell",
		"COREDNS_V1_14_7_SERVICE_HOST":         "10.96.3.4",
		"COREDNS_V1_14_7_SERVICE_PORT_DNS":     "53",
		"COREDNS_V1_14_7_SERVICE_PORT_METRICS": "9153",
		"KUBERNETES_SERVICE_HOST":              "10.96.0.1",
		"HOSTS_RECORDS":                        "a.test=192.0.2.1,b.test=192.0.2.2",
	}
	found, err := fromEnvironment(func(name string) string { return environment[name] })
	if err != nil || found.dns != "10.96.3.4:53" || found.metrics != "10.96.3.4:9153" || len(found.hosts) != 2 {
		t.Errorf("%+v %v", found, err)
	}
	for name := range environment {
		if _, err := fromEnvironment(func(asked string) string {
			if asked == name {
				return ""
			}
			return environment[asked]
		}); err == nil {
			t.Errorf("without %s there is no error", name)
		}
	}
}
