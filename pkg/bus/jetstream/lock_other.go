//go:build !unix

package jetstream

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockDir opens the lock file; where there are no advisory locks it guards
// against an unwritable directory only.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("broker data directory %s: %w", dir, err)
	}
	return f, nil
}
