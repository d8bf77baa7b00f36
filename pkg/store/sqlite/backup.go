package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Backup writes a copy of the store in a directory into a file, as of one
// moment. The store may be in use by another process meanwhile.
func Backup(ctx context.Context, dir, to string) error {
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		return fmt.Errorf("there is no store in %s: %w", dir, err)
	}
	if _, err := os.Stat(to); err == nil {
		return fmt.Errorf("%s is there already", to)
	}
	db, err := connect(filepath.Join(dir, file), 1, nil)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("back up %s: %w", dir, err)
	}
	return sound(ctx, to)
}

// Restore makes a store of a backup in a directory that has none.
func Restore(ctx context.Context, from, dir string) error {
	if err := sound(ctx, from); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	held, err := lock(dir)
	if err != nil {
		return err
	}
	defer held.Close()
	if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
		return fmt.Errorf("there is a store in %s already: restore into an empty directory", dir)
	}
	return duplicate(from, filepath.Join(dir, file))
}

// sound says whether a backup can be read, all of it.
func sound(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, err := connect(path, 1, reading)
	if err != nil {
		return err
	}
	defer db.Close()
	var verdict string
	err = db.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&verdict)
	if err == nil && verdict != "ok" {
		err = errors.New(verdict)
	}
	if err != nil {
		return fmt.Errorf("%s is no sound store: %w", path, err)
	}
	return nil
}

// duplicate copies a file; it is whole under its name, or not there.
func duplicate(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	unfinished, err := os.OpenFile(to+".unfinished", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(unfinished, source)
	if err = errors.Join(err, unfinished.Sync(), unfinished.Close()); err != nil {
		return err
	}
	return os.Rename(to+".unfinished", to)
}
