package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A notary does as Notary should, for any number of repositories, except for the fault that a test gives it.
type notary struct {
	sync.Mutex
	fault   string
	signers map[string]signer         // the server's own, by repository and role
	stored  map[string]map[int][]byte // by repository and role
	current map[string]int
	changes map[string]int
	refuses int // requests for a key, at first
}

var route = regexp.MustCompile(`^/v2/(.+)/_trust/(?:tuf/(?:(?:(\d+)\.)?(\w+)(?:\.([0-9a-f]{64}))?\.(json|key))?|(changefeed))$`)

func (n *notary) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	n.Lock()
	defer n.Unlock()
	if request.URL.Path == "/_notary_server/health" {
		fmt.Fprint(writer, map[bool]string{true: `{"DB operational":"no"}`, false: "{}"}[n.fault == "ill"])
		return
	}
	found := route.FindStringSubmatch(request.URL.Path)
	if found == nil {
		http.Error(writer, "no such route: "+request.URL.Path, http.StatusTeapot)
		return
	}
	gun, version, role, checksum, kind := found[1], found[2], found[3], found[4], found[5]
	switch {
	case found[6] != "":
		type record struct{ Version int }
		_ = json.NewEncoder(writer).Encode(map[string]any{"records": make([]record, n.changes[gun])})
	case kind == "key" && n.refuses > 0:
		n.refuses--
		http.Error(writer, "no connection to the signer", http.StatusInternalServerError)
	case kind == "key":
		key := gun + " " + role
		if _, ok := n.signers[key]; !ok || request.Method == http.MethodPost && n.fault != "rotates nothing" || n.fault == "forgets keys" {
			n.signers[key] = n.newSigner()
		}
		if n.fault == "one key" {
			n.signers[key] = n.signers[gun+" timestamp"]
		}
		if n.fault == "no key" && gun == lasting {
			fmt.Fprint(writer, "{}")
			return
		}
		if n.fault == "an empty key" && gun == lasting {
			_ = json.NewEncoder(writer).Encode(newPublicKey("ecdsa", nil))
			return
		}
		_ = json.NewEncoder(writer).Encode(n.signers[key].public)
	case request.Method == http.MethodDelete:
		if n.fault != "deletes nothing" {
			for key := range n.current {
				if strings.HasPrefix(key, gun+" ") {
					delete(n.current, key)
				}
			}
		}
	case request.Method == http.MethodPost:
		n.update(writer, request, gun)
	default:
		n.get(writer, gun+" "+role, version, checksum)
	}
}

func (n *notary) newSigner() signer {
	if n.fault == "signs by itself" {
		return newSigner()
	}
	private, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, _ := x509.MarshalPKIXPublicKey(&private.PublicKey)
	return signer{newPublicKey("ecdsa", der), "ecdsa", func(message []byte) []byte { return signECDSA(private, message) }}
}

func (n *notary) get(writer http.ResponseWriter, key, version, checksum string) {
	wanted := n.current[key]
	if version != "" {
		wanted, _ = strconv.Atoi(version)
		if n.fault == "no old versions" {
			wanted = n.current[key]
		}
	}
	text, ok := n.stored[key][wanted]
	for _, each := range n.stored[key] {
		if checksum != "" && fmt.Sprintf("%x", newFile(each).Hashes["sha256"]) == checksum {
			text, ok = each, true
		}
	}
	if !ok {
		http.Error(writer, map[bool]string{true: "nothing", false: "METADATA_NOT_FOUND"}[n.fault == "no reason"], http.StatusNotFound)
		return
	}
	role := key[strings.LastIndex(key, " ")+1:]
	if n.fault == "corrupts "+role {
		text = []byte(strings.Replace(string(text), `"version":`, `"version": 1`, 1))
	}
	_, _ = writer.Write(text)
}

func (n *notary) update(writer http.ResponseWriter, request *http.Request, gun string) {
	refuse := func(reason string) { http.Error(writer, reason, http.StatusBadRequest) }
	metadata := map[string][]byte{}
	parts, _ := request.MultipartReader()
	for part, err := parts.NextPart(); err == nil; part, err = parts.NextPart() {
		metadata[part.FileName()], _ = io.ReadAll(part)
	}
	before := n.stored[gun+" root"][n.current[gun+" root"]]
	text, ok := metadata["root"]
	if !ok {
		text = before
	}
	var root rootData
	if err := n.readRoot(text, before, gun, &root); err != nil {
		refuse("ErrBadRoot " + err.Error())
		return
	}
	var targets targetsData
	err := read(metadata["targets"], "Targets", root.Roles["targets"], root.Keys, &targets)
	if err != nil && !n.forgives(err) {
		refuse("ErrBadTargets " + err.Error())
		return
	}
	var signed envelope
	_ = json.Unmarshal(metadata["targets"], &signed)
	_ = json.Unmarshal(signed.Signed, &targets)
	if targets.Version <= n.current[gun+" targets"] && n.fault != "takes replays" {
		refuse("VERSION")
		return
	}
	if ok {
		n.store(gun+" root", root.Version, text)
	}
	n.store(gun+" targets", targets.Version, metadata["targets"])
	n.list(gun, "Snapshot", "root", "targets")
	n.list(gun, "Timestamp", "snapshot")
	if n.changes[gun]++; n.fault == "counts twice" {
		n.changes[gun]++
	}
}

// forgives says whether the fault is to take just that for valid.
func (n *notary) forgives(err error) bool {
	return n.fault == "takes the expired" && strings.Contains(err.Error(), "expired") ||
		n.fault == "takes any signature" && strings.Contains(err.Error(), "signatures")
}

func (n *notary) readRoot(text, before []byte, gun string, root *rootData) error {
	var own envelope
	if err := json.Unmarshal(text, &own); err != nil {
		return err
	}
	_ = json.Unmarshal(own.Signed, root)
	trusted := *root
	if before != nil && n.fault != "takes any root" {
		var earlier envelope
		_ = json.Unmarshal(before, &earlier)
		trusted = rootData{}
		_ = json.Unmarshal(earlier.Signed, &trusted)
	}
	for _, id := range root.Roles["root"].KeyIDs {
		block, _ := pem.Decode(root.Keys[id].Value.Public)
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err == nil && certificate.Subject.CommonName != gun && n.fault != "takes any certificate" {
			err = fmt.Errorf("certificate of %s", certificate.Subject.CommonName)
		}
		if err != nil {
			return err
		}
	}
	return read(text, "Root", trusted.Roles["root"], trusted.Keys, &rootData{})
}

func (n *notary) list(gun, kind string, roles ...string) {
	key := gun + " " + strings.ToLower(kind)
	version := n.current[key] + 1
	if n.fault == "stands still" {
		version = 1
	}
	content := listing{soon(kind, version), map[string]file{}}
	for _, role := range roles {
		content.Meta[role] = newFile(n.stored[gun+" "+role][n.current[gun+" "+role]])
	}
	signer := n.signers[key]
	if n.fault == "signs with another key" {
		signer = newSigner()
	}
	n.store(key, version, sign(content, signer))
}

func (n *notary) store(key string, version int, text []byte) {
	if n.stored[key] == nil {
		n.stored[key] = map[int][]byte{}
	}
	n.stored[key][version], n.current[key] = text, version
}

func newNotary(fault string) *notary {
	return &notary{
		fault: fault, signers: map[string]signer{}, stored: map[string]map[int][]byte{},
		current: map[string]int{}, changes: map[string]int{},
	}
}

func start(t *testing.T, fault string) target {
	t.Helper()
	return serve(t, newNotary(fault))
}

func serve(t *testing.T, notary *notary) target {
	t.Helper()
	server := httptest.NewServer(notary)
	t.Cleanup(server.Close)
	return newTarget(server.URL, listen(t, notary.fault == "lets in everybody"), upgrade{})
}

// listen is a signer that speaks with clients that have a certificate, or with everybody.
func listen(t *testing.T, everybody bool) string {
	t.Helper()
	private, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signer"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
	if !everybody {
		config.ClientAuth = tls.RequireAnyClientCert
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func(connection net.Conn) {
				defer connection.Close()
				if _, err := connection.Read(make([]byte, 1)); err == nil {
					_, _ = connection.Write([]byte{0})
				}
			}(connection)
		}
	}()
	return listener.Addr().String()
}

func examine(target target) *report {
	return run("notary", target.healthy(), target.checks()...)
}

func TestAServerThatDoesItPasses(t *testing.T) {
	target := start(t, "")
	report := examine(target)
	if report.failed() != 0 || len(report.cases) != 17 {
		t.Errorf("%d of %d checks failed", report.failed(), len(report.cases))
	}
}

func TestASignerThatIsNotReachedYetIsWaitedFor(t *testing.T) {
	notary := newNotary("")
	notary.refuses = 1
	target := serve(t, notary)
	if report := examine(target); report.failed() != 0 {
		t.Errorf("%d checks failed", report.failed())
	}
}

func TestEveryFaultIsFoundByItsCheck(t *testing.T) {
	everyFaultIsFound(t, map[string]string{
		"no reason":              "a repository that is not there",
		"forgets keys":           "keys from the signer",
		"one key":                "keys from the signer",
		"signs by itself":        "keys from the signer",
		"no key":                 "keys that last",
		"an empty key":           "keys that last",
		"lets in everybody":      "the signer refuses strangers",
		"takes any certificate":  "another's certificate",
		"corrupts snapshot":      "publish and verify",
		"corrupts targets":       "publish and verify",
		"corrupts root":          "publish and verify",
		"corrupts timestamp":     "publish and verify",
		"signs with another key": "publish and verify",
		"takes any signature":    "tampered metadata",
		"takes any root":         "wrong root",
		"takes the expired":      "expired metadata",
		"stands still":           "second version",
		"takes replays":          "replayed metadata",
		"no old versions":        "old versions",
		"rotates nothing":        "rotated snapshot key",
		"counts twice":           "changefeed",
		"deletes nothing":        "deleted repository",
	}, func(t *testing.T, fault string) *report {
		return examine(start(t, fault))
	})
}

// copied is what a backup has of it.
func (n *notary) copied() *notary {
	made := newNotary("")
	made.signers, made.current = maps.Clone(n.signers), maps.Clone(n.current)
	for key, versions := range n.stored {
		made.stored[key] = maps.Clone(versions)
	}
	return made
}

// journey makes the checks of an upgrade's stops, and something in between; it says which of the last stop's failed.
func journey(t *testing.T, before *notary, between func(before, after *notary) *notary) string {
	t.Helper()
	var failed []string
	earlier := before
	now := before
	for index, stop := range stops {
		if index == len(stops)-1 {
			now = between(earlier, now)
		}
		earlier = now.copied()
		target := serve(t, now)
		target.upgrade = upgrade{stop, "a-namespace"}
		failed = nil
		for _, result := range examine(target).cases {
			if result.Failure != nil {
				failed = append(failed, result.Name)
			}
		}
		if failed != nil && index < len(stops)-1 {
			t.Errorf("%s: %q", stop, failed)
		}
	}
	return strings.Join(failed, ", ")
}

func TestWhatWasPublishedIsThereAtEveryStop(t *testing.T) {
	if failed := journey(t, newNotary(""), func(_, after *notary) *notary { return after }); failed != "" {
		t.Error(failed)
	}
}

func TestWhatAnUpgradeLosesIsFound(t *testing.T) {
	const lost, unable = "what was published before the upgrade is there", "publish after the upgrade"
	for name, fault := range map[string]struct {
		between func(before, after *notary) *notary
		failed  string
	}{
		"all data":          {func(_, _ *notary) *notary { return newNotary("") }, lost + ", " + unable},
		"what came last":    {func(before, _ *notary) *notary { return before }, lost},
		"the signer's keys": {func(_, after *notary) *notary { clear(after.signers); return after }, lost + ", " + unable},
		"the timestamp's key": {func(_, after *notary) *notary {
			after.signers[lasting+" timestamp"] = after.newSigner()
			return after
		}, lost + ", " + unable},
		"the targets' content": {func(_, after *notary) *notary {
			for version, text := range after.stored[lasting+" targets"] {
				after.stored[lasting+" targets"][version] = bytes.Replace(text, []byte("app:before"), []byte("app:other"), 1)
			}
			return after
		}, lost},
		"what somebody else published": {func(_, _ *notary) *notary {
			other := newNotary("")
			target := serve(t, other)
			for _, target.upgrade = range []upgrade{{"before", "another"}, {"after", "another"}} {
				run("notary", target.healthy(), target.kept()...)
			}
			return other
		}, lost + ", " + unable},
	} {
		t.Run(name, func(t *testing.T) {
			if failed := journey(t, newNotary(""), fault.between); failed != fault.failed {
				t.Errorf("%q", failed)
			}
		})
	}
}

func TestASeedMakesTheSameKeysAgain(t *testing.T) {
	one, other := newSeed(), newSeed()
	if rootSigner("a", one).public.id() != rootSigner("a", one).public.id() {
		t.Error("another certificate")
	}
	if rootSigner("a", one).public.id() == rootSigner("a", other).public.id() {
		t.Error("the same certificate of another seed")
	}
	if targetsSigner(one).public.id() != targetsSigner(one).public.id() || targetsSigner(one).public.id() == targetsSigner(other).public.id() {
		t.Error("another key")
	}
}

func TestAnUpgradesStopIsOneThatIsKnown(t *testing.T) {
	environment := map[string]string{
		"CROSSCLOUD_RELEASE": "n", "N_SERVICE_HOST": "10.96.3.4", "N_SERVICE_PORT_HTTP": "80", "N_SERVICE_PORT_SIGNER": "7899",
		"CROSSCLOUD_NAMESPACE": "a-namespace",
	}
	for stop, known := range map[string]bool{"": true, "before": true, "back": true, "meanwhile": false} {
		environment["CROSSCLOUD_UPGRADE"] = stop
		found, err := fromEnvironment(func(name string) string { return environment[name] })
		if known != (err == nil) || known && found.upgrade != (upgrade{stop, "a-namespace"}) {
			t.Errorf("%q: %+v %v", stop, found.upgrade, err)
		}
	}
}

func TestASignerThatIsNotThereIsNoSignerThatRefuses(t *testing.T) {
	target := start(t, "")
	target.signer = "127.0.0.1:1"
	if seen, err := target.strangers(); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("%s %v", seen, err)
	}
}

func TestTheEnvironmentSaysWhereTheServiceIs(t *testing.T) {
	environment := map[string]string{
		"CROSSCLOUD_RELEASE":                "notary-v0-7-0",
		"NOTARY_V0_7_0_SERVICE_HOST":        "10.96.3.4",
		"NOTARY_V0_7_0_SERVICE_PORT_HTTP":   "80",
		"NOTARY_V0_7_0_SERVICE_PORT_SIGNER": "7899",
	}
	found, err := fromEnvironment(func(name string) string { return environment[name] })
	if err != nil || found.server != "http://10.96.3.4:80" || found.signer != "10.96.3.4:7899" {
		t.Errorf("%+v %v", found, err)
	}
	everyVariableIsNeeded(t, environment, fromEnvironment)
}
