// Command collector hands the files of an e2e container to the runner, without a right on the cluster.
//
// It runs as a native sidecar beside the e2e container and shares a volume with it. Kubernetes sends SIGTERM to
// a sidecar when the main container has ended; then it writes the volume's files to its own log, as a gzipped
// tar in base64 between two marker lines, and ends. deploy/results.py reads it back.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const (
	// What one file, and all of them, may have in bytes: kubelet rotates a container's log at 10 MiB, and what
	// does not compress grows by a third in base64.
	fileLimit  = 4 << 20
	totalLimit = 6 << 20
	lineLength = 4096
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Println("crosscloud-note:", err)
		os.Exit(1)
	}
}

func run(directory string, out io.Writer) error {
	var archive bytes.Buffer
	notes, err := pack(directory, &archive)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(out, "crosscloud-note:", note)
	}
	fmt.Fprintln(out, "crosscloud-results-begin")
	text := base64.StdEncoding.EncodeToString(archive.Bytes())
	for len(text) > 0 {
		n := min(lineLength, len(text))
		fmt.Fprintln(out, text[:n])
		text = text[n:]
	}
	_, err = fmt.Fprintln(out, "crosscloud-results-end")
	return err
}

// pack writes the regular files below directory to archive, and says which it left out.
func pack(directory string, archive io.Writer) (notes []string, err error) {
	compressed := gzip.NewWriter(archive)
	files := tar.NewWriter(compressed)
	var total int64
	err = filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			notes = append(notes, err.Error())
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		name, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		content, err := read(path)
		if err != nil {
			notes = append(notes, err.Error())
			return nil
		}
		if len(content) > fileLimit || total+int64(len(content)) > totalLimit {
			notes = append(notes, fmt.Sprintf("%s left out: too large (limits: %d bytes a file, %d in all)", name, fileLimit, totalLimit))
			return nil
		}
		total += int64(len(content))
		if err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = files.Write(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := files.Close(); err != nil {
		return nil, err
	}
	return notes, compressed.Close()
}

// read returns a file's bytes, at most one more than the limit: enough to know that it is too large.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, fileLimit+1))
}
