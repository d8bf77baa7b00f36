package store

import (
	"context"

	"github.com/maidian/maidian/pkg/event"
)

// Record is a small document that processes share and change by turns: a rule,
// a destination, a lease, the state of a window, a notice that is to be sent.
// What Data means is the affair of whoever keeps records of that kind.
type Record struct {
	Kind     string     // lower-case letters and "_"
	Project  string     // empty: of none
	ID       string     // 1 to 200 characters
	Due      event.Time // when somebody should look at it; zero: never
	Data     []byte     // at most MostRecordData; nil and empty are the same
	Revision int64      // 0 when it is created, raised by each UpdateRecord
}

// MostRecordData is the most bytes of one record that every store takes.
const MostRecordData = 8 << 20

// Key is the record's place among all: kind, project and id.
func (r *Record) Key() string { return r.Kind + "/" + r.Project + "/" + r.ID }

// Records are changed by comparing revisions, so of several processes that
// change the same record at the same time one wins and the others hear of it.
type Records interface {
	// CreateRecord fails with ErrConflict when the key is taken.
	CreateRecord(ctx context.Context, r Record) error
	// Record is one record, or ErrNotFound.
	Record(ctx context.Context, kind, project, id string) (*Record, error)
	// Records are those of a kind and project ("*" for all projects) with a Key
	// above after, ascending by Key, at most limit.
	Records(ctx context.Context, kind, project, after string, limit int) ([]Record, error)
	// DueRecords are those of a kind that are due at a moment or were before,
	// those that have waited longest first, at most limit.
	DueRecords(ctx context.Context, kind string, at event.Time, limit int) ([]Record, error)
	// UpdateRecord replaces the record whose stored Revision equals r's and
	// raises it by one; ErrConflict when somebody changed it first, ErrNotFound when there is none.
	UpdateRecord(ctx context.Context, r Record) error
	// DeleteRecord deletes the record if its stored Revision equals r's;
	// ErrConflict when somebody changed it first, ErrNotFound when there is none.
	DeleteRecord(ctx context.Context, r Record) error
}

// RecordRange is where the keys of a kind and project ("*" for all) lie that
// come after one of them: above the first and below the second.
func RecordRange(kind, project, after string) (above, below string) {
	above, below = kind+"/", kind+"0" // "0" is the character behind "/"
	if project != "*" {
		above, below = above+project+"/", above+project+"0"
	}
	return max(above, after), below
}

// pageOfRecords is how many are asked for at a time.
const pageOfRecords = 500

// EachRecord gives all records of a kind and project ("*" for all projects), by key.
func EachRecord(ctx context.Context, records interface {
	Records(ctx context.Context, kind, project, after string, limit int) ([]Record, error)
}, kind, project string, yield func(*Record) error,
) error {
	for after := ""; ; {
		page, err := records.Records(ctx, kind, project, after, pageOfRecords)
		if err != nil {
			return err
		}
		for i := range page {
			after = page[i].Key()
			if err := yield(&page[i]); err != nil {
				return err
			}
		}
		if len(page) < pageOfRecords {
			return nil
		}
	}
}
