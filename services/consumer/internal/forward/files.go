package forward

import (
	"context"
	"errors"
	"os"
	"path"

	"github.com/parquet-go/parquet-go"

	"github.com/maidian/maidian/pkg/destination"
)

// files are written below a folder and stand under their names only once they
// are whole and on the disk.
type files struct {
	layout
	root *os.Root
}

func (o *opening) files(s *destination.Files) (Target, error) {
	if o.Folder == "" {
		return nil, errors.New("FORWARD_FILES is not set: this consumer may not write files")
	}
	if err := os.MkdirAll(o.Folder, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.Folder)
	if err != nil {
		return nil, err
	}
	return &files{layout{&s.Layout, &o.definition.Shape, parquet.JSON()}, root}, nil
}

func (w *files) Send(_ context.Context, b Batch) error {
	for _, f := range w.files(b) {
		content, err := w.content(f)
		if err == nil {
			err = w.write(f.name, content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *files) write(name string, content []byte) error {
	folder := path.Dir(name)
	if err := w.root.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	unfinished := path.Join(folder, "."+path.Base(name))
	if err := w.writeWhole(unfinished, content); err != nil {
		return err
	}
	if err := w.root.Rename(unfinished, name); err != nil {
		return err
	}
	return w.sync(folder)
}

func (w *files) writeWhole(name string, content []byte) error {
	f, err := w.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func (w *files) sync(folder string) error {
	f, err := w.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (w *files) Close() error { return w.root.Close() }
