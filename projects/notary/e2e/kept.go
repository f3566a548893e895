package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// kept is what is published at every stop, and has to be there at those that follow. None without an upgrade.
func (t target) kept() []check {
	switch stop := slices.Index(stops, t.stop); stop {
	case -1:
		return nil
	case 0:
		return []check{{"published before the upgrade", func() (string, error) {
			repository := t.keptRepository()
			for role, key := range map[string]*publicKey{"timestamp": &repository.timestamp, "snapshot": &repository.snapshot} {
				var err error
				if *key, err = repository.serverKey(http.MethodGet, role); err != nil {
					return "", err
				}
			}
			if err := repository.accepted(map[string][]byte{
				"root":    sign(repository.rootContent(1), repository.root),
				"targets": sign(targetsContent(1, t.published(stop)), repository.targets),
			}); err != nil {
				return "", err
			}
			return t.isKept(repository, stop)
		}}}
	default:
		return []check{
			{"what was published before the upgrade is there", func() (string, error) {
				return t.isKept(t.keptRepository(), stop-1)
			}},
			{"publish after the upgrade", func() (string, error) {
				repository := t.keptRepository()
				metadata := sign(targetsContent(stop+1, t.published(stop)), repository.targets)
				if err := repository.accepted(map[string][]byte{"targets": metadata}); err != nil {
					return "", err
				}
				return t.isKept(repository, stop)
			}},
		}
	}
}

// keptRepository has keys that this program makes again at each stop: nobody else could have signed what it finds.
func (t target) keptRepository() *repository {
	return &repository{
		server: t.server, gun: lasting,
		root:    rootSigner(lasting, sha256.Sum256([]byte(t.namespace+" root"))),
		targets: targetsSigner(sha256.Sum256([]byte(t.namespace + " targets"))),
	}
}

// published are the files that are signed since that stop.
func (t target) published(stop int) map[string][]byte {
	files := map[string][]byte{}
	for _, name := range stops[:stop+1] {
		files["app:"+name] = []byte(t.namespace + " " + name)
	}
	return files
}

// isKept verifies what is there from the root's key on, and wants it to be as that stop has left it.
func (t target) isKept(repository *repository, stop int) (string, error) {
	found, err := repository.verified()
	if err != nil {
		return "", err
	}
	if found.root.Version != 1 || found.targets.Version != stop+1 {
		return "", fmt.Errorf("root has version %d and targets %d, where 1 and %d were published",
			found.root.Version, found.targets.Version, stop+1)
	}
	files := t.published(stop)
	names, wanted := slices.Sorted(maps.Keys(found.targets.Targets)), slices.Sorted(maps.Keys(files))
	if !slices.Equal(names, wanted) {
		return "", fmt.Errorf("%q are there, where %q were published", names, wanted)
	}
	for name, bytes := range files {
		if err := found.targets.Targets[name].is(bytes); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, role := range []string{"timestamp", "snapshot"} {
		key, err := repository.serverKey(http.MethodGet, role)
		if err != nil {
			return "", err
		}
		if !slices.Equal(found.root.Roles[role].KeyIDs, []string{key.id()}) {
			return "", errors.New("the server has another " + role + " key than the one that was published")
		}
	}
	return fmt.Sprintf("root %.12s → timestamp %d → snapshot %d → targets %d with %q", repository.root.public.id(),
		found.timestamp.Version, found.snapshot.Version, found.targets.Version, names), nil
}
