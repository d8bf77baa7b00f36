package alert

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
)

// errLost means that another process has written the state: this one no longer has the lease.
var errLost = errors.New("another process evaluates the rules now")

// root is the one record of a project that says what counts. It is small: what
// is large it names, and that is in records of their own that never change.
type root struct {
	Snapshot blob          `json:"snapshot,omitzero"`
	Steps    []step        `json:"steps,omitempty"`   // done since the snapshot, in their order
	Firings  []rule.Firing `json:"firings,omitempty"` // came out and may not be made yet
	More     blob          `json:"more,omitzero"`     // in the place of Firings, when they are many

	memory // in the place of Snapshot, as it was kept before
}

// memory is how far in the journal, and what the evaluators remember.
type memory struct {
	Position  feed.Position   `json:"position,omitzero"`
	Evaluator json.RawMessage `json:"evaluator,omitempty"`
	Pipeline  json.RawMessage `json:"pipeline,omitempty"`
}

// step is one thing that the evaluator was given: an entry of the journal, a
// sample of the pipeline, or the time. Given again to the evaluator of the
// snapshot, steps make what it was after them.
type step struct {
	Entry    string     `json:"e,omitempty"` // batch id
	Written  event.Time `json:"w,omitempty"`
	Received event.Time `json:"r,omitempty"`
	Metric   string     `json:"m,omitempty"`
	Value    float64    `json:"v,omitempty"`
	At       event.Time `json:"t,omitempty"` // of the sample, or the time
}

// blob is data in records of their own.
type blob struct {
	Name  string `json:"name"`
	Parts int    `json:"parts"`
}

func (b blob) part(i int) string { return fmt.Sprintf("%s.%d", b.Name, i) }

// holds says whether a record is one of its parts.
func (b blob) holds(id string) bool {
	for i := range b.Parts {
		if id == b.part(i) {
			return true
		}
	}
	return false
}

// kept is the root as this process last read or wrote it.
type kept struct {
	root
	store  Store
	record store.Record
}

// stateID is of the root of each project.
const stateID = "state"

// load reads a project's root, or makes an empty one, and takes it: whoever had
// it before can change nothing more. Then it clears up what that one has left.
func load(ctx context.Context, s Store, project string) (*kept, error) {
	r, err := s.Record(ctx, rule.StateKind, project, stateID)
	if errors.Is(err, store.ErrNotFound) {
		r = &store.Record{Kind: rule.StateKind, Project: project, ID: stateID}
		if err = s.CreateRecord(ctx, *r); errors.Is(err, store.ErrConflict) {
			err = errLost
		}
	}
	if err != nil {
		return nil, err
	}
	k := &kept{store: s, record: *r}
	if len(r.Data) > 0 {
		if err := unpack(r.Data, &k.root); err != nil {
			return nil, fmt.Errorf("record %s: %w", r.Key(), err)
		}
	}
	if err := k.write(ctx, k.root); err != nil {
		return nil, err
	}
	return k, k.sweep(ctx)
}

// write replaces the root. Who finds that somebody else has written it has lost the lease.
func (k *kept) write(ctx context.Context, r root) error {
	data, err := pack(r)
	if err != nil {
		return err
	}
	record := k.record
	record.Data = data
	err = k.store.UpdateRecord(ctx, record)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return errLost
	}
	if err != nil {
		return fmt.Errorf("keep the state: %w", err)
	}
	k.root, k.record = r, record
	k.record.Revision++
	return nil
}

// partSize is how large a part is at most: half of what a record takes.
const partSize = store.MostRecordData / 2

// put writes data that is to be named by the next root. Its name follows from
// the revision that this process has to replace, so nobody else writes the same.
func (k *kept) put(ctx context.Context, what string, v any) (blob, int, error) {
	data, err := pack(v)
	if err != nil {
		return blob{}, 0, err
	}
	b, size := blob{Name: fmt.Sprintf("%s.%d", what, k.record.Revision)}, len(data)
	for ; len(data) > 0; b.Parts++ {
		piece := data[:min(partSize, len(data))]
		data = data[len(piece):]
		err := k.store.CreateRecord(ctx, store.Record{Kind: rule.StateKind, Project: k.record.Project, ID: b.part(b.Parts), Data: piece})
		if err != nil {
			return blob{}, 0, fmt.Errorf("keep %s: %w", what, err)
		}
	}
	return b, size, nil
}

// get reads what put has written.
func (k *kept) get(ctx context.Context, b blob, v any) error {
	var data []byte
	for i := range b.Parts {
		r, err := k.store.Record(ctx, rule.StateKind, k.record.Project, b.part(i))
		if err != nil {
			return fmt.Errorf("read %s of the state: %w", b.part(i), err)
		}
		data = append(data, r.Data...)
	}
	return unpack(data, v)
}

// drop deletes what no root names any more. What stays, because that fails, is swept later.
func (k *kept) drop(ctx context.Context, b blob) {
	for i := range b.Parts {
		_ = k.store.DeleteRecord(ctx, store.Record{Kind: rule.StateKind, Project: k.record.Project, ID: b.part(i)})
	}
}

// pageOfParts is how many of them, each up to partSize, are in memory at a time.
const pageOfParts = 4

// sweep deletes the parts that the root does not name: somebody has stopped
// between writing them and it.
func (k *kept) sweep(ctx context.Context) error {
	for after := ""; ; {
		page, err := k.store.Records(ctx, rule.StateKind, k.record.Project, after, pageOfParts)
		if err != nil {
			return err
		}
		for _, r := range page {
			after = r.Key()
			if strings.Contains(r.ID, ".") && !k.Snapshot.holds(r.ID) && !k.More.holds(r.ID) {
				if err := k.store.DeleteRecord(ctx, r); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
		}
		if len(page) < pageOfParts {
			return nil
		}
	}
}

// pack makes it a fraction of its size: most of it is times and digits that are alike.
func pack(v any) ([]byte, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	err = errors.Join(json.NewEncoder(z).Encode(v), z.Close())
	return packed.Bytes(), err
}

func unpack(packed []byte, v any) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
