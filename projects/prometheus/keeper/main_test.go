package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// kept starts keep, and waits until it has made the directories; the release's is the answer, with what ends it.
func kept(t *testing.T, names ...string) (string, func() error) {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "release")
	ended, end := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- keep(ended, directory, names, os.Getuid(), time.Minute) }()
	for _, name := range names {
		for range 1000 {
			if _, err := os.Stat(filepath.Join(directory, name)); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return directory, func() error { end(); return <-result }
}

func TestItMakesTheDirectoriesAndLeavesNothing(t *testing.T) {
	directory, end := kept(t, "prometheus", "alertmanager")
	for _, name := range []string{"prometheus", "alertmanager"} {
		if err := os.WriteFile(filepath.Join(directory, name, "wal"), []byte("x"), 0o600); err != nil {
			t.Error(err)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(directory)); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}

func TestWhatWasThereStays(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "release")
	file := filepath.Join(directory, "prometheus", "wal")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- keep(ended, directory, []string{"prometheus", "new"}, os.Getuid(), time.Minute) }()
	for range 1000 {
		if _, err := os.Stat(filepath.Join(directory, "new")); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("a container that starts again has lost its data:", err)
	}
	end()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestItGoesAlsoFromUnderAWriter(t *testing.T) {
	directory, end := kept(t, "prometheus")
	written, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		for number := 0; ; number++ {
			select {
			case <-stop:
				return
			default:
				_ = os.WriteFile(filepath.Join(directory, "prometheus", string(rune('a'+number%20))), nil, 0o600)
			}
		}
	}()
	if err := end(); err != nil {
		t.Error(err)
	}
	close(stop)
	<-written
	if _, err := os.Stat(directory); !os.IsNotExist(err) {
		t.Error(err)
	}
}

func TestWhatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keep(context.Background(), file, []string{"prometheus"}, os.Getuid(), time.Minute); err == nil {
		t.Error("a file is no directory")
	}
}
