package sqlite

import (
	"context"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// kind says what was being done and gives a driver's error the kind on which
// the callers act.
func (s *Store) kind(ctx context.Context, doing string, err error) error {
	if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return err
	}
	if ctx.Err() != nil && interrupted(err) {
		err = context.Cause(ctx)
	} else if s.closed() {
		err = errClosed
	}
	err = fmt.Errorf("%s in %s: %w", doing, s.name, err)
	switch kindOf(err) {
	case fault.Unavailable:
		return &fault.Error{Kind: fault.Unavailable, Code: "store_unavailable", Message: "the store is away", Err: err}
	case fault.Invalid:
		return &fault.Error{Kind: fault.Invalid, Code: "unstorable", Message: "the store cannot take this", Err: err}
	}
	return err
}

func (s *Store) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func interrupted(err error) bool {
	return codeOf(err) == codes.SQLITE_INTERRUPT || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func kindOf(err error) fault.Kind {
	if kind := fault.KindOf(err); kind != fault.Unknown {
		return kind
	}
	if errors.Is(err, errClosed) || errors.Is(err, context.DeadlineExceeded) {
		return fault.Unavailable
	}
	switch codeOf(err) {
	case codes.SQLITE_FULL, codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_IOERR, codes.SQLITE_CANTOPEN,
		codes.SQLITE_NOMEM, codes.SQLITE_READONLY, codes.SQLITE_PROTOCOL, codes.SQLITE_INTERRUPT:
		return fault.Unavailable // the disk or its state: it may pass
	case codes.SQLITE_TOOBIG:
		return fault.Invalid
	}
	return fault.Unknown
}

// codeOf is SQLite's primary result code; 0 when the error is not SQLite's.
func codeOf(err error) int {
	if e := (*driver.Error)(nil); errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}
