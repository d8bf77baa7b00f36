//go:build !unix

package sqlite

import (
	"os"
	"path/filepath"
)

// lock only marks the directory: there is no lock here that ends with the
// process, and one that outlives it would do more harm than two processes.
func lock(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
}
