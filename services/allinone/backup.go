package allinone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/maidian/maidian/pkg/store/mongo"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// Backup copies the store into a new file, and may do so while it is in use.
// What waits in the queue is not in it.
func (c *Config) Backup(ctx context.Context, to string) error {
	if !c.UseMongo {
		return sqlite.Backup(ctx, c.path("store"), to)
	}
	s, err := mongo.Open(ctx, c.Mongo)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	_, err = s.Backup(ctx, f)
	if err = errors.Join(err, f.Sync(), f.Close(), s.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

// Restore makes an empty store what it was when it was backed up.
func (c *Config) Restore(ctx context.Context, from string) error {
	if !c.UseMongo {
		return sqlite.Restore(ctx, from, c.path("store"))
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := mongo.Open(ctx, c.Mongo)
	if err != nil {
		return err
	}
	if _, err = s.Restore(ctx, bufio.NewReader(f)); err != nil {
		err = fmt.Errorf("%s: %w", from, err)
	}
	return errors.Join(err, s.Close())
}
