package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A repository is one of which this program has the root's and the targets' keys, and the server the others.
type repository struct {
	server              string // its URL
	gun                 string // globally unique name
	root, targets       signer
	timestamp, snapshot publicKey
}

func newRepository(server, gun string) *repository {
	return &repository{server: server, gun: gun, root: newRootSigner(gun), targets: newSigner()}
}

// url is of a role's metadata: timestamp.json, targets.<SHA-256>.json, 1.root.json, snapshot.key.
func (r *repository) url(what string) string {
	return fmt.Sprintf("%s/v2/%s/_trust/tuf/%s", r.server, r.gun, what)
}

func (r *repository) send(method, url string, status int) ([]byte, error) {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return nil, err
	}
	return body(request, status)
}

// serverKey is the public key that the server has for a role. It makes one when it has none; POST has it make another.
func (r *repository) serverKey(method, role string) (publicKey, error) {
	var key publicKey
	text, err := r.send(method, r.url(role+".key"), http.StatusOK)
	if err == nil {
		err = json.Unmarshal(text, &key)
	}
	return key, err
}

// rootContent is the root's metadata, with the keys as they are now.
func (r *repository) rootContent(version int) rootData {
	content := rootData{common: soon("Root", version), Keys: map[string]publicKey{}, Roles: map[string]role{}}
	for name, key := range map[string]publicKey{
		"root": r.root.public, "targets": r.targets.public, "timestamp": r.timestamp, "snapshot": r.snapshot,
	} {
		content.Keys[key.id()] = key
		content.Roles[name] = role{[]string{key.id()}, 1}
	}
	return content
}

func targetsContent(version int, files map[string][]byte) targetsData {
	content := targetsData{common: soon("Targets", version), Targets: map[string]file{}}
	content.Delegations = map[string]any{"keys": map[string]any{}, "roles": []any{}}
	for name, bytes := range files {
		content.Targets[name] = newFile(bytes)
	}
	return content
}

func soon(kind string, version int) common {
	return common{kind, time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second), version}
}

// publish sends metadata by role, in one piece; the answer has the error's code when it is refused.
func (r *repository) publish(metadata map[string][]byte) (status int, answer string, err error) {
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		part, err := writer.CreateFormFile("files", name)
		if err != nil {
			return 0, "", err
		}
		if _, err := part.Write(metadata[name]); err != nil {
			return 0, "", err
		}
	}
	if err := writer.Close(); err != nil {
		return 0, "", err
	}
	request, err := http.NewRequest(http.MethodPost, r.url(""), &form)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", writer.FormDataContentType())
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(http.MaxBytesReader(nil, response.Body, readable))
	return response.StatusCode, strings.TrimSpace(text.String()), err
}

// accepted publishes what the server has to take.
func (r *repository) accepted(metadata map[string][]byte) error {
	status, answer, err := r.publish(metadata)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("refused: %d %.300s", status, answer)
	}
	return err
}

// A state is a repository as its metadata says, verified from the root's key on.
type state struct {
	root                rootData
	timestamp, snapshot listing
	targets             targetsData
}

// verified fetches and verifies everything, with no other trust than in the root's key, by its id.
func (r *repository) verified() (state, error) {
	var found state
	text, err := get(r.url("root.json"))
	if err != nil {
		return found, err
	}
	own := r.root.public
	trusted := map[string]publicKey{own.id(): own}
	if err := read(text, "Root", role{[]string{own.id()}, 1}, trusted, &found.root); err != nil {
		return found, err
	}
	root := found.root
	if text, err = get(r.url("timestamp.json")); err != nil {
		return found, err
	}
	if err := read(text, "Timestamp", root.Roles["timestamp"], root.Keys, &found.timestamp); err != nil {
		return found, err
	}
	if text, err = r.consistent("snapshot", found.timestamp); err != nil {
		return found, err
	}
	if err := read(text, "Snapshot", root.Roles["snapshot"], root.Keys, &found.snapshot); err != nil {
		return found, err
	}
	if _, err = r.consistent("root", found.snapshot); err != nil {
		return found, err
	}
	if text, err = r.consistent("targets", found.snapshot); err != nil {
		return found, err
	}
	return found, read(text, "Targets", root.Roles["targets"], root.Keys, &found.targets)
}

// consistent fetches the metadata that a snapshot or a timestamp lists, by its hash.
func (r *repository) consistent(role string, listed listing) ([]byte, error) {
	wanted, ok := listed.Meta[role]
	if !ok {
		return nil, fmt.Errorf("%s does not list %s", listed.Type, role)
	}
	text, err := get(r.url(fmt.Sprintf("%s.%s.json", role, hex.EncodeToString(wanted.Hashes["sha256"]))))
	if err == nil {
		if wrong := wanted.is(text); wrong != nil {
			err = fmt.Errorf("%s: %w", role, wrong)
		}
	}
	return text, err
}
