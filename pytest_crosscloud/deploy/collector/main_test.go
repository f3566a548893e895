package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLargeFilesAreLeftOutAndNamed(t *testing.T) {
	directory := t.TempDir()
	for name, size := range map[string]int{"junit.xml": 10, "big.bin": fileLimit + 1} {
		if err := os.WriteFile(filepath.Join(directory, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(directory, "link")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(directory, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "crosscloud-note: big.bin left out") {
		t.Errorf("no note on the large file: %.200s", out.String())
	}
	if strings.Contains(out.String(), "junit.xml left out") || !strings.HasSuffix(out.String(), "crosscloud-results-end\n") {
		t.Errorf("unexpected output: %.200s", out.String())
	}
}
