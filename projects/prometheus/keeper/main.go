// Keeps a release's data on a node: makes its directories, and removes them when this program's pod ends.
//
// A cluster that has just been made has nothing that provisions volumes, and what a pod has of its own (emptyDir) ends
// with it. So what has to outlive a pod is in a directory of the node, which this program has made for whom it belongs
// to. Its pod goes with the release or its namespace, and nothing is left of the data then.
//
// Arguments: the release's directory, and the names of those in it. Exit code 1: it could not be made, or removed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// Nobody, who runs the release's programs.
	owner = 65534
	// How long those who still write get to end with the release: less than Kubernetes gives this program.
	patience = 25 * time.Second
	// Between two attempts at a directory that somebody still writes to.
	pause = 50 * time.Millisecond
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: program DIRECTORY NAME…")
		os.Exit(2)
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := keep(ended, os.Args[1], os.Args[2:], owner, patience); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// keep makes the directories for their owner, as far as they are not there, and removes them once the context ends.
func keep(ended context.Context, directory string, names []string, owner int, patience time.Duration) error {
	for _, name := range names {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		if err := os.Chown(path, owner, owner); err != nil {
			return err
		}
	}
	fmt.Printf("%s has %q\n", directory, names)
	<-ended.Done()
	return remove(directory, patience)
}

// remove takes a directory away, also from under those who still write there.
func remove(directory string, patience time.Duration) error {
	for started := time.Now(); ; time.Sleep(pause) {
		err := os.RemoveAll(directory)
		if _, gone := os.Lstat(directory); errors.Is(gone, fs.ErrNotExist) {
			fmt.Println(directory, "is gone")
			return nil
		}
		if time.Since(started) > patience {
			return fmt.Errorf("%s is still there: %w", directory, err)
		}
	}
}
