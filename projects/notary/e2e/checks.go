package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A repository whose keys stay as long as the database does.
const lasting = "crosscloud.test/lasting"

// What checks that follow one another hand on.
type checked struct {
	repository *repository
	first      []byte // targets.json of version 1
	state      state  // as it was verified at last
}

// healthy wants a key, too: a server just started says that all is well before it has reached the signer.
func (t target) healthy() check {
	return check{"healthy", func() (string, error) {
		return eventually(patience, func() (string, error) {
			text, err := get(t.server + "/_notary_server/health")
			if err == nil && strings.TrimSpace(string(text)) != "{}" {
				err = fmt.Errorf("not all is well: %.300s", text)
			}
			if err == nil {
				_, err = t.repository.serverKey(http.MethodGet, "timestamp")
			}
			return "database and signer are operational", err
		})
	}}
}

func (t target) checks() []check {
	return slices.Concat(t.kept(), []check{
		{"a repository that is not there", t.missing},
		{"keys from the signer", t.keys},
		{"keys that last", t.lasting},
		{"the signer refuses strangers", t.strangers},
		{"another's certificate", t.foreignCertificate},
		{"publish and verify", t.publish},
		{"tampered metadata", t.tampered},
		{"wrong signature", t.wrongSignature},
		{"wrong root", t.wrongRoot},
		{"expired metadata", t.expired},
		{"second version", t.update},
		{"replayed metadata", t.replayed},
		{"old versions", t.oldVersions},
		{"rotated snapshot key", t.rotation},
		{"changefeed", t.changefeed},
		{"deleted repository", t.deletion},
	})
}

func (t target) missing() (string, error) {
	text, err := t.repository.send(http.MethodGet, t.repository.url("root.json"), http.StatusNotFound)
	if err == nil && !strings.Contains(string(text), "METADATA_NOT_FOUND") {
		err = fmt.Errorf("404 without METADATA_NOT_FOUND: %.300s", text)
	}
	return "404 METADATA_NOT_FOUND", err
}

// keys wants keys of the kind that only the signer makes: a server that signs by itself has ed25519.
func (t target) keys() (string, error) {
	found, others := map[string]publicKey{}, 0
	for _, role := range []string{"timestamp", "snapshot"} {
		for range 2 {
			key, err := t.repository.serverKey(http.MethodGet, role)
			if err != nil {
				return "", err
			}
			if earlier, ok := found[role]; ok && earlier.id() != key.id() {
				others++
			}
			found[role] = key
		}
	}
	// Whatever is wrong with them: what is published now has these.
	t.repository.timestamp, t.repository.snapshot = found["timestamp"], found["snapshot"]
	if others > 0 {
		return "", errors.New("asked again, the server has another key")
	}
	if found["timestamp"].id() == found["snapshot"].id() {
		return "", errors.New("timestamp and snapshot have the same key")
	}
	for role, key := range found {
		if key.Type != "ecdsa" {
			return "", fmt.Errorf("the %s key is %s, and the signer's are ecdsa", role, key.Type)
		}
	}
	return fmt.Sprintf("timestamp %.12s, snapshot %.12s", found["timestamp"].id(), found["snapshot"].id()), nil
}

// lasting says which key a repository has that stays: in another run of this program, on the same database, it is the same.
func (t target) lasting() (string, error) {
	repository := repository{server: t.server, gun: lasting}
	key, err := repository.serverKey(http.MethodGet, "timestamp")
	if err == nil && key.Type != "ecdsa" {
		err = fmt.Errorf("the key is %q, and the signer's are ecdsa", key.Type)
	}
	if err == nil {
		_, err = x509.ParsePKIXPublicKey(key.Value.Public)
	}
	if err != nil {
		return "", fmt.Errorf("timestamp key of %s: %w", lasting, err)
	}
	return fmt.Sprintf("timestamp key of %s is %s", lasting, key.id()), nil
}

// strangers wants the signer to end a connection without a client's certificate before it says anything.
func (t target) strangers() (string, error) {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{
		InsecureSkipVerify: true, // which certificate the signer has is for the server to check
		NextProtos:         []string{"h2"},
	}}
	connection, err := dialer.Dial("tcp", t.signer)
	if err == nil {
		// With TLS 1.3 the client is done before the server has looked at its certificate.
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = connection.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
		if err == nil {
			_, err = connection.Read(make([]byte, 1))
		}
	}
	var refusal *net.OpError
	var record tls.AlertError
	switch {
	case err == nil:
		return "", errors.New("the signer speaks with a client that has no certificate")
	case errors.As(err, &record), errors.As(err, &refusal) && strings.Contains(err.Error(), "tls:"):
		return err.Error(), nil
	case errors.Is(err, io.EOF):
		return "the signer closed the connection", nil
	}
	return "", fmt.Errorf("the signer cannot be reached: %w", err)
}

func (t target) foreignCertificate() (string, error) {
	other := *t.repository
	other.root = newRootSigner("crosscloud.test/somebody/else")
	return t.refused(&other, "ErrBadRoot", map[string][]byte{
		"root":    sign(other.rootContent(1), other.root),
		"targets": sign(targetsContent(1, nil), other.targets),
	})
}

var content = map[string][]byte{"app:1.0": []byte("the first release"), "app:latest": []byte("the first release")}

func (t target) publish() (string, error) {
	repository := t.repository
	t.checked.first = sign(targetsContent(1, content), repository.targets)
	metadata := map[string][]byte{"root": sign(repository.rootContent(1), repository.root), "targets": t.first}
	if err := repository.accepted(metadata); err != nil {
		return "", err
	}
	return t.isNow(1, 1, content)
}

// isNow verifies the repository, and wants these versions of root and targets, and the content that was signed.
func (t target) isNow(root, targets int, content map[string][]byte) (string, error) {
	found, err := t.repository.verified()
	if err != nil {
		return "", err
	}
	if found.root.Version != root || found.targets.Version != targets {
		return "", fmt.Errorf("root has version %d and targets %d, where %d and %d were published",
			found.root.Version, found.targets.Version, root, targets)
	}
	before := t.state
	if found.timestamp.Version < before.timestamp.Version || found.snapshot.Version < before.snapshot.Version {
		return "", fmt.Errorf("timestamp went from version %d to %d, snapshot from %d to %d", before.timestamp.Version,
			found.timestamp.Version, before.snapshot.Version, found.snapshot.Version)
	}
	t.checked.state = found
	if len(found.targets.Targets) != len(content) {
		return "", fmt.Errorf("%d targets, and not %d", len(found.targets.Targets), len(content))
	}
	for name, bytes := range content {
		if err := found.targets.Targets[name].is(bytes); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if found.targets.Targets[name].is(append([]byte("x"), bytes...)) == nil {
			return "", fmt.Errorf("%s: other bytes have the same hash", name)
		}
	}
	return fmt.Sprintf("root %d → timestamp %d → snapshot %d → targets %d with %d files, %d signatures verified",
		found.root.Version, found.timestamp.Version, found.snapshot.Version, found.targets.Version, len(content), 4), nil
}

// refused publishes what the server must not take, for a reason that its answer names, and wants nothing to be changed.
func (t target) refused(repository *repository, reason string, metadata map[string][]byte) (string, error) {
	status, answer, err := repository.publish(metadata)
	if err != nil {
		return "", err
	}
	if status < 400 || status >= 500 {
		return "", fmt.Errorf("status %d: %.300s", status, answer)
	}
	if !strings.Contains(answer, reason) {
		return "", fmt.Errorf("refused for another reason than %s: %d %.300s", reason, status, answer)
	}
	if before := t.state; before.root.Version > 0 {
		after, err := t.repository.verified()
		if err != nil {
			return "", fmt.Errorf("after the refusal: %w", err)
		}
		if after.timestamp.Version != before.timestamp.Version || after.targets.Version != before.targets.Version {
			return "", fmt.Errorf("refused, and yet timestamp is version %d and targets %d", after.timestamp.Version, after.targets.Version)
		}
	}
	return fmt.Sprintf("%d %s", status, reason), nil
}

// tampered changes what a target is after it was signed.
func (t target) tampered() (string, error) {
	var signed envelope
	if err := json.Unmarshal(sign(targetsContent(2, content), t.repository.targets), &signed); err != nil {
		return "", err
	}
	other := targetsContent(2, map[string][]byte{"app:1.0": []byte("something else"), "app:latest": content["app:latest"]})
	text, err := recanonical(canonical(other))
	if err != nil {
		return "", err
	}
	signed.Signed = text
	return t.refused(t.repository, "ErrBadTargets", map[string][]byte{"targets": canonical(signed)})
}

// wrongSignature has another key sign, first under its own name, then under that of the right one.
func (t target) wrongSignature() (string, error) {
	stranger := newSigner()
	own, err := t.refused(t.repository, "ErrBadTargets", map[string][]byte{"targets": sign(targetsContent(2, content), stranger)})
	if err != nil {
		return "", fmt.Errorf("another key: %w", err)
	}
	stranger.public = t.repository.targets.public
	_, err = t.refused(t.repository, "ErrBadTargets", map[string][]byte{"targets": sign(targetsContent(2, content), stranger)})
	if err != nil {
		return "", fmt.Errorf("another key under the right one's name: %w", err)
	}
	return own + ", also under the right key's name", nil
}

// wrongRoot is a whole new root, right in itself, that the root before it has not signed.
func (t target) wrongRoot() (string, error) {
	other := *t.repository
	other.root, other.targets = newRootSigner(other.gun), newSigner()
	return t.refused(&other, "ErrBadRoot", map[string][]byte{
		"root":    sign(other.rootContent(2), other.root),
		"targets": sign(targetsContent(2, content), other.targets),
	})
}

func (t target) expired() (string, error) {
	old := targetsContent(2, content)
	old.Expires = time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	return t.refused(t.repository, "ErrBadTargets", map[string][]byte{"targets": sign(old, t.repository.targets)})
}

func (t target) second() map[string][]byte {
	return map[string][]byte{
		"app:1.0": content["app:1.0"], "app:2.0": []byte("the second"), "app:latest": []byte("the second"),
	}
}

func (t target) update() (string, error) {
	before := t.state
	if err := t.repository.accepted(map[string][]byte{
		"targets": sign(targetsContent(2, t.second()), t.repository.targets),
	}); err != nil {
		return "", err
	}
	seen, err := t.isNow(1, 2, t.second())
	if err == nil && (t.state.timestamp.Version <= before.timestamp.Version || t.state.snapshot.Version <= before.snapshot.Version) {
		err = fmt.Errorf("timestamp is still version %d, snapshot %d", t.state.timestamp.Version, t.state.snapshot.Version)
	}
	return seen, err
}

func (t target) replayed() (string, error) {
	return t.refused(t.repository, "VERSION", map[string][]byte{"targets": t.first})
}

func (t target) oldVersions() (string, error) {
	text, err := get(t.repository.url("1.targets.json"))
	if err == nil && string(text) != string(t.first) {
		err = fmt.Errorf("targets version 1 is not as it was published: %.200s", text)
	}
	return "targets version 1 is as it was published", err
}

// rotation has the server make another snapshot key, which a new root names.
func (t target) rotation() (string, error) {
	key, err := t.repository.serverKey(http.MethodPost, "snapshot")
	if err != nil {
		return "", err
	}
	if key.id() == t.repository.snapshot.id() {
		return "", errors.New("the key is the same as before")
	}
	t.repository.snapshot = key
	if err := t.repository.accepted(map[string][]byte{
		"root":    sign(t.repository.rootContent(2), t.repository.root),
		"targets": sign(targetsContent(3, t.second()), t.repository.targets),
	}); err != nil {
		return "", err
	}
	seen, err := t.isNow(2, 3, t.second())
	return fmt.Sprintf("snapshot key %.12s; %s", key.id(), seen), err
}

// changefeed wants one entry for each time that something was published, and none for what was refused.
func (t target) changefeed() (string, error) {
	var feed struct {
		Records []struct {
			GUN     string
			Version int
		} `json:"records"`
	}
	url := fmt.Sprintf("%s/v2/%s/_trust/changefeed?change_id=0&records=100", t.server, t.repository.gun)
	if err := getJSON(url, &feed); err != nil {
		return "", err
	}
	if len(feed.Records) != 3 {
		return "", fmt.Errorf("%d changes, where 3 were published: %v", len(feed.Records), feed.Records)
	}
	return "3 changes, as many as were published", nil
}

func (t target) deletion() (string, error) {
	if _, err := t.repository.send(http.MethodDelete, t.repository.url(""), http.StatusOK); err != nil {
		return "", err
	}
	_, err := t.repository.send(http.MethodGet, t.repository.url("timestamp.json"), http.StatusNotFound)
	return "its metadata is not there any more", err
}
