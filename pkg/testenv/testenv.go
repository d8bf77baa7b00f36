// Package testenv gives tests the real servers and the data they run against.
package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// Root is the repository's folder, the one with go.work.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.work above the working directory")
		}
		dir = parent
	}
}

// Cases is the path of a file of the shared cases, which lie beside the
// repository where they are given at all; without them the test is skipped.
func Cases(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(Root(t)), "shared", "cases", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("skipped: the shared cases file %s is not here", name)
	}
	return path
}
