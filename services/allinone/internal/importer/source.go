package importer

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
)

// source is a file's text, unpacked, and how much of the file has been read.
type source struct {
	*bufio.Reader
	size int64 // of the file as it lies there; 0 when nobody knows
	read atomic.Int64
	file *os.File
}

// open opens a file, "-" being standard input, and unpacks it when it is
// gzipped, whatever its name says.
func open(path string) (*source, error) {
	s := &source{file: os.Stdin}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		s.file = f
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			s.size = info.Size()
		}
	}
	if err := s.unpack(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), s.file.Close())
	}
	return s, nil
}

func (s *source) unpack() error {
	s.Reader = bufio.NewReaderSize(counting{s.file, &s.read}, 1<<18)
	if head, _ := s.Peek(2); string(head) == "\x1f\x8b" {
		unpacked, err := gzip.NewReader(s.Reader)
		if err != nil {
			return err
		}
		s.Reader = bufio.NewReaderSize(unpacked, 1<<18)
	}
	if head, _ := s.Peek(3); string(head) == "\xef\xbb\xbf" { // a byte order mark is not part of the first column's name
		_, _ = s.Discard(3)
	}
	return nil
}

type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// format is "csv" or "ndjson": what was asked for, else what the text looks like.
func (s *source) format(asked string) (string, error) {
	switch asked {
	case "csv", "ndjson":
		return asked, nil
	case "", "auto":
	default:
		return "", fmt.Errorf("-format must be csv or ndjson, got %q", asked)
	}
	head, _ := s.Peek(512)
	if strings.HasPrefix(strings.TrimLeft(string(head), " \t\r\n"), "{") {
		return "ndjson", nil
	}
	return "csv", nil
}
