package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

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
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	err = fmt.Errorf("%s in %s: %w", doing, s.name, err)
	switch kindOf(err) {
	case fault.Unavailable:
		return fault.Wrap(fault.Unavailable, "store_unavailable", err)
	case fault.Invalid:
		return fault.Wrap(fault.Invalid, "unstorable", err)
	}
	return err
}

func interrupted(err error) bool {
	code, _ := codeOf(err)
	return code == codes.SQLITE_INTERRUPT || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func kindOf(err error) fault.Kind {
	if kind := fault.KindOf(err); kind != fault.Unknown {
		return kind
	}
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, os.ErrClosed) || errors.Is(err, errClosed) {
		return fault.Unavailable
	}
	code, _ := codeOf(err)
	switch code {
	case codes.SQLITE_FULL, codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_IOERR, codes.SQLITE_CANTOPEN,
		codes.SQLITE_NOMEM, codes.SQLITE_READONLY, codes.SQLITE_PROTOCOL, codes.SQLITE_INTERRUPT:
		return fault.Unavailable // the disk or its state: it may pass
	case codes.SQLITE_TOOBIG:
		return fault.Invalid
	}
	return fault.Unknown
}

// codeOf is SQLite's primary result code.
func codeOf(err error) (int, bool) {
	if e := (*driver.Error)(nil); errors.As(err, &e) {
		return e.Code() & 0xff, true
	}
	return 0, false
}
