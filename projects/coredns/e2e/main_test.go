package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const own = "coredns-head.cell.svc.cluster.local."

// Two pods behind the headless Service, at addresses of the loopback interface.
var podAddresses = []string{"127.0.0.2", "127.0.0.3"}

// A server answers as CoreDNS should, except for the fault that a test gives it.
type server struct {
	fault    string
	name     string // what it calls itself
	upstream string // where it forwards to
	lock     sync.Mutex
	queries  int
	hits     map[string]int
	seen     map[string]bool
	kept     *dns.Msg
}

var faulty = map[string]map[string]string{
	"wrong address":     {"kubernetes.default.svc.cluster.local. A": "10.96.0.2"},
	"two addresses":     {"kubernetes.default.svc.cluster.local. A": "10.96.0.1 10.96.0.1"},
	"wrong own address": {own + " A": "127.0.0.9"},
	"wrong port":        {"_dns-tcp._tcp." + own + " SRV": "0_100_54_" + own},
	"no such port":      {"_metrics._tcp." + own + " SRV": ""},
	"wrong reverse":     {"1.0.0.127.in-addr.arpa. PTR": "other.cell.svc.cluster.local."},
	"wrong host":        {"www.example.test. A": "192.0.2.12"},
	"mail":              {"kubernetes.default.svc.cluster.local. MX": "10_mail.example.test."},
	"one pod":           {"coredns-head-pods.cell.svc.cluster.local. A": "127.0.0.2"},
	"one pod twice":     {"coredns-head-pods.cell.svc.cluster.local. A": "127.0.0.2 127.0.0.2"},
	"pods confused": {"coredns-head-pods-0.coredns-head-pods.cell.svc.cluster.local. A": "127.0.0.3",
		"coredns-head-pods-1.coredns-head-pods.cell.svc.cluster.local. A": "127.0.0.2"},
	"pod without a name":   {"coredns-head-pods-1.coredns-head-pods.cell.svc.cluster.local. A": ""},
	"port of the service":  {"_dns._udp.coredns-head-pods.cell.svc.cluster.local. SRV": "0_50_53_coredns-head-pods-0.coredns-head-pods.cell.svc.cluster.local."},
	"pods without reverse": {"3.0.0.127.in-addr.arpa. PTR": ""},
	"alias of another":     {"coredns-head-external.cell.svc.cluster.local. CNAME": "other.example.test."},
	"alias to nowhere":     {"coredns-head-external.cell.svc.cluster.local. A": ""},
	"no pod record":        {"127-0-0-7.cell.pod.cluster.local. A": ""},
	"any pod record":       {"192-0-2-1.cell.pod.cluster.local. A": "192.0.2.1"},
}

// records are data of "name type", with spaces between records and _ for spaces in one.
func (s *server) records(tcp bool) map[string]string {
	records := map[string]string{
		"kubernetes.default.svc.cluster.local. A": "10.96.0.1",
		own + " A":                                            "127.0.0.1",
		"_dns._udp." + own + " SRV":                           "0_100_53_" + own,
		"_dns-tcp._tcp." + own + " SRV":                       "0_100_53_" + own,
		"_metrics._tcp." + own + " SRV":                       "0_100_9153_" + own,
		"1.0.0.127.in-addr.arpa. PTR":                         own,
		"www.example.test. A":                                 "192.0.2.11",
		"127-0-0-7.cell.pod.cluster.local. A":                 "127.0.0.7",
		"coredns-head-external.cell.svc.cluster.local. CNAME": "www.example.test.",
		"coredns-head-external.cell.svc.cluster.local. A":     "192.0.2.11",
		"coredns-head-pods.cell.svc.cluster.local. A":         strings.Join(podAddresses, " "),
	}
	var many, ports []string
	for number, address := range podAddresses {
		name := fmt.Sprintf("coredns-head-pods-%d.coredns-head-pods.cell.svc.cluster.local.", number)
		records[name+" A"] = address
		records[strings.Split(address, ".")[3]+".0.0.127.in-addr.arpa. PTR"] = name
		ports = append(ports, "0_50_PORT_"+name)
	}
	records["_dns._udp.coredns-head-pods.cell.svc.cluster.local. SRV"] = strings.Join(ports, " ")
	for number := range 60 {
		many = append(many, fmt.Sprintf("203.0.113.%d", number))
	}
	if s.fault == "many and not all" {
		many = many[1:]
	}
	records["many.example.test. A"] = strings.Join(many, " ")
	for name, data := range faulty[s.fault] {
		records[name] = data
	}
	if s.fault == "wrong over tcp" && tcp {
		records["kubernetes.default.svc.cluster.local. A"] = "10.96.0.2"
	}
	return records
}

func (s *server) ServeDNS(writer dns.ResponseWriter, question *dns.Msg) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.queries++
	answer := new(dns.Msg).SetReply(question)
	asked := question.Question[0]
	_, tcp := writer.RemoteAddr().(*net.TCPAddr)
	records := s.records(tcp)
	_, port, _ := net.SplitHostPort(writer.LocalAddr().String())
	add := func(name, kind string) {
		for _, data := range strings.Fields(records[name+" "+kind]) {
			data = strings.Replace(strings.ReplaceAll(data, "_", " "), "PORT", port, 1)
			record, err := dns.NewRR(fmt.Sprintf("%s 30 IN %s %s", name, kind, strings.ReplaceAll(data, " dns", "_dns")))
			if err != nil {
				panic(err)
			}
			answer.Answer = append(answer.Answer, record)
		}
	}
	kind := dns.TypeToString[asked.Qtype]
	soa, _ := dns.NewRR("cluster.local. 30 IN SOA ns.dns.cluster.local. admin.cluster.local. 1 2 3 4 5")
	known := records[asked.Name+" "+kind] != "" || records[asked.Name+" A"] != ""
	switch {
	case asked.Qclass == dns.ClassCHAOS:
		record, _ := dns.NewRR("id.server. 0 CH TXT " + s.name)
		answer.Answer = append(answer.Answer, record)
	case asked.Qtype == dns.TypeAXFR:
		answer.Answer = append(answer.Answer, soa)
		for key := range records {
			if name, kind, _ := strings.Cut(key, " "); s.fault != "transfers half" || !strings.Contains(name, "external") {
				add(name, kind)
			}
		}
		answer.Answer = append(answer.Answer, soa)
		if s.fault == "refuses transfers" {
			answer.Answer, answer.Rcode = nil, dns.RcodeRefused
		}
	case strings.HasSuffix(asked.Name, "stub.test."):
		s.forward(answer, question)
	case known:
		if asked.Qtype == dns.TypeA {
			add(asked.Name, "CNAME")
		}
		add(asked.Name, kind)
	default:
		answer.Rcode = dns.RcodeNameError
		if s.fault == "no error" {
			answer.Rcode = dns.RcodeSuccess
		}
		if s.fault == "refuses the unknown" {
			answer.Rcode = dns.RcodeRefused
		}
		if s.fault != "no SOA" {
			answer.Ns = append(answer.Ns, soa)
		}
	}
	s.count(asked.Name, answer.Rcode)
	s.fit(question, answer, tcp)
	_ = writer.WriteMsg(answer)
}

func (s *server) forward(answer, question *dns.Msg) {
	if s.fault == "forwards nothing" {
		answer.Rcode = dns.RcodeServerFailure
		return
	}
	if s.kept == nil || s.fault != "keeps what it was told" {
		s.kept, _, _ = new(dns.Client).Exchange(question, s.upstream)
	}
	answer.Answer, answer.Rcode = s.kept.Answer, s.kept.Rcode
}

func (s *server) count(name string, code int) {
	kind := "success"
	if code == dns.RcodeNameError {
		kind = "denial"
	}
	if s.seen[name] && s.fault != "caches no "+kind {
		s.hits[kind]++
	}
	s.seen[name] = true
}

// fit cuts an answer to what the asker takes.
func (s *server) fit(question, answer *dns.Msg, tcp bool) {
	size := 512
	if option := question.IsEdns0(); option != nil {
		size = int(option.UDPSize())
		if s.fault == "ignores EDNS" {
			size = 512
		} else {
			answer.SetEdns0(ednsSize, false)
		}
	}
	if !tcp && s.fault != "never cuts" {
		answer.Truncate(size)
	}
	if s.fault == "cuts and does not say so" {
		answer.Truncated = false
	}
}

func (s *server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	count, version, panics := s.queries, "1.14.7", 0
	switch s.fault {
	case "counts nothing":
		count = 0
	case "another version":
		version = "1.14.6"
	case "panics":
		panics = 1
	}
	if request.URL.Path != "/metrics" {
		if s.fault == "not ready" && request.URL.Path == "/ready" {
			writer.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(writer, "OK")
		return
	}
	// Two series: the requests over all labels are their sum.
	fmt.Fprintf(writer, "coredns_dns_requests_total{server=\"dns://:53\",type=\"A\"} %d\n", count)
	fmt.Fprintf(writer, "coredns_dns_requests_total{server=\"dns://:53\",type=\"MX\"} 3\ncoredns_dns_requests_total_x 7\n")
	fmt.Fprintf(writer, "# HELP coredns_build_info A metric\ncoredns_build_info{goversion=\"go1.25\",version=\"%s\"} 1\n", version)
	fmt.Fprintf(writer, "coredns_panics_total %d\n", panics)
	for kind, hits := range s.hits {
		fmt.Fprintf(writer, "coredns_cache_hits_total{server=\"dns://:53\",type=%q,view=\"\"} %d\n", kind, hits)
	}
}

// serve answers DNS at an address, over UDP and TCP, until the test is over; it returns where.
func serve(t *testing.T, address string, handler dns.Handler) (string, error) {
	t.Helper()
	packets, stream, err := sockets(address)
	if err != nil {
		return "", err
	}
	for _, each := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: stream, Handler: handler}} {
		go func() { _ = each.ActivateAndServe() }()
	}
	t.Cleanup(func() { packets.Close(); stream.Close() })
	return packets.LocalAddr().String(), nil
}

// serveAll has the release and its pods answer at one port, which must be free at all their addresses.
func serveAll(t *testing.T, fault, upstream string) (string, *server) {
	t.Helper()
	for range 20 {
		main := &server{fault: fault, name: "coredns-head-x", upstream: upstream, hits: map[string]int{}, seen: map[string]bool{}}
		address, err := serve(t, "127.0.0.1:0", main)
		for number, each := range podAddresses {
			if err == nil {
				_, port, _ := net.SplitHostPort(address)
				pod := &server{name: fmt.Sprintf("coredns-head-pods-%d", number), hits: map[string]int{}, seen: map[string]bool{}}
				_, err = serve(t, net.JoinHostPort(each, port), pod)
			}
		}
		if err == nil {
			return address, main
		}
	}
	t.Fatal("no free port")
	return "", nil
}

func start(t *testing.T, fault string) target {
	t.Helper()
	upstream := newUpstream()
	forwardTo, err := serve(t, "127.0.0.1:0", upstream)
	if err != nil {
		t.Fatal(err)
	}
	address, main := serveAll(t, fault, forwardTo)
	pages := httptest.NewServer(main)
	t.Cleanup(pages.Close)
	http := strings.TrimPrefix(pages.URL, "http://")
	return target{
		dns: address, metrics: http, health: http, ready: http,
		version:    "v1.14.7",
		domain:     "cluster.local",
		namespace:  "cell",
		service:    "coredns-head",
		address:    netip.MustParseAddr("127.0.0.1"),
		kubernetes: netip.MustParseAddr("10.96.0.1"),
		hosts:      []record{{"www.example.test", netip.MustParseAddr("192.0.2.11")}},
		many:       many{"many.example.test", 60},
		stub:       "stub.test",
		pods:       len(podAddresses),
		podPort:    netip.MustParseAddrPort(address).Port(),
		pod:        netip.MustParseAddr("127.0.0.7"),
		resolv: &dns.ClientConfig{
			Servers: []string{"10.96.0.10"}, Ndots: 5,
			Search: []string{"cell.svc.cluster.local", "svc.cluster.local", "cluster.local"},
		},
		notLent:  "a test",
		upstream: upstream,
		patience: 100 * time.Millisecond,
	}
}

func examine(target target) *report {
	return run("coredns", target.answers(time.Second), target.checks()...)
}

func TestAServerThatAnswersPasses(t *testing.T) {
	report := examine(start(t, ""))
	if report.failed() != 0 || len(report.cases) != 25 || report.skipped() != 1 {
		t.Errorf("%d of %d checks failed, %d were skipped", report.failed(), len(report.cases), report.skipped())
	}
}

func TestEveryFaultIsFoundByItsCheck(t *testing.T) {
	everyFaultIsFound(t, map[string]string{
		"wrong address":            "service name over UDP",
		"two addresses":            "service name over UDP",
		"wrong over tcp":           "service name over TCP",
		"wrong own address":        "name of its own service",
		"wrong port":               "named ports",
		"no such port":             "named ports",
		"wrong reverse":            "reverse lookup",
		"one pod":                  "headless service",
		"one pod twice":            "headless service",
		"pods confused":            "pods of a headless service",
		"pod without a name":       "pods of a headless service",
		"port of the service":      "ports of a headless service",
		"pods without reverse":     "reverse lookup of pods",
		"alias of another":         "ExternalName service",
		"alias to nowhere":         "ExternalName service",
		"no pod record":            "pod by its address",
		"any pod record":           "pod by its address",
		"mail":                     "name without such a record",
		"no error":                 "NXDOMAIN",
		"no SOA":                   "NXDOMAIN",
		"refuses the unknown":      "short names, as the pod's resolv.conf has them",
		"refuses transfers":        "zone transfer",
		"transfers half":           "zone transfer",
		"many and not all":         "large answer",
		"never cuts":               "large answer",
		"cuts and does not say so": "large answer",
		"ignores EDNS":             "large answer",
		"wrong host":               "hosts zone: www.example.test",
		"forwards nothing":         "forwarded zone, and a change of it",
		"keeps what it was told":   "forwarded zone, and a change of it",
		"not ready":                "health and readiness",
		"counts nothing":           "metrics count the requests",
		"caches no success":        "cache",
		"caches no denial":         "cache",
		"another version":          "version",
		"panics":                   "no panics",
	}, func(t *testing.T, fault string) *report {
		return examine(start(t, fault))
	})
}

func TestTheClustersOwnDNSMustBeTheRelease(t *testing.T) {
	answers := map[string]string{"kubernetes.default": "10.96.0.1", "coredns-head": "127.0.0.1", "www.example.test": "192.0.2.11"}
	for fault, wrong := range map[string]func(*target){
		"":                  func(*target) {},
		"resolv.conf names": func(t *target) { t.resolv.Servers = []string{"10.96.0.53"} },
		"at 127.0.0.2": func(t *target) {
			t.lent = strings.Replace(t.lent, "127.0.0.1", "127.0.0.2", 1)
			t.resolv.Servers = []string{"127.0.0.2"}
		},
		"coredns-head is 127.0.0.1": func(t *target) { answers["coredns-head"] = "127.0.0.9" },
	} {
		target := start(t, "")
		target.lent, target.patience = target.dns, 0
		target.resolv.Servers = []string{"127.0.0.1"}
		target.lookup = func(_ context.Context, name string) ([]string, error) { return []string{answers[name]}, nil }
		wrong(&target)
		_, err := target.clusterDNS()
		if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
			t.Errorf("%s: %v", fault, err)
		}
		answers["coredns-head"] = "127.0.0.1"
	}
}

func TestAServerThatIsNotThereFailsOneCheck(t *testing.T) {
	target := start(t, "")
	target.dns = "127.0.0.1:1"
	if report := run("coredns", target.answers(0), target.checks()...); len(report.cases) != 1 || report.failed() != 1 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestACommitHasNoNumberToCompare(t *testing.T) {
	target := start(t, "another version")
	target.version = "0123456789ab"
	if _, err := target.buildInfo(); err == nil || !strings.Contains(err.Error(), "is no release") {
		t.Errorf("%v", err)
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
		`<skipped message="no such thing here">`,
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
		"COREDNS_V1_14_7_SERVICE_PORT_HEALTH":  "8080",
		"COREDNS_V1_14_7_SERVICE_PORT_READY":   "8181",
		"KUBERNETES_SERVICE_HOST":              "10.96.0.1",
		"HOSTS_RECORDS":                        "a.test=192.0.2.1,b.test=192.0.2.2",
		"MANY_RECORDS":                         "many.test=60",
		"HEADLESS_PODS":                        "2",
		"STUB_ZONE":                            "stub.test",
	}
	found, err := fromEnvironment(func(name string) string { return environment[name] })
	if err != nil || found.dns != "10.96.3.4:53" || found.ready != "10.96.3.4:8181" || len(found.hosts) != 2 || found.many.count != 60 {
		t.Errorf("%+v %v", found, err)
	}
	everyVariableIsNeeded(t, environment, fromEnvironment)
}
