package alert

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/consumer/internal/feed"
)

// errLost means that another process has written the state: this one no longer has the lease.
var errLost = errors.New("another process evaluates the rules now")

// state is what is known of a project's rules: how far in the journal, what the
// evaluator remembers, and the firings that came out and may not be made yet.
type state struct {
	Position  feed.Position   `json:"position"`
	Evaluator json.RawMessage `json:"evaluator"`
	Firings   []rule.Firing   `json:"firings,omitempty"`
}

// stateID is of the one record of a project.
const stateID = "state"

// load is nil for a project of which there is none yet; its record is made.
func (a *Alerts) load(ctx context.Context, project string) (*store.Record, *state, error) {
	r, err := a.store.Record(ctx, rule.StateKind, project, stateID)
	if errors.Is(err, store.ErrNotFound) {
		r = &store.Record{Kind: rule.StateKind, Project: project, ID: stateID}
		if err = a.store.CreateRecord(ctx, *r); errors.Is(err, store.ErrConflict) {
			return nil, nil, errLost
		}
	}
	if err != nil || len(r.Data) == 0 {
		return r, nil, err
	}
	var s state
	if err := unpack(r.Data, &s); err != nil {
		return nil, nil, fmt.Errorf("record %s: %w", r.Key(), err)
	}
	return r, &s, nil
}

// pack makes it a fraction of its size: most of it is times and digits that are alike.
func pack(s *state) ([]byte, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(json.NewEncoder(z).Encode(s), z.Close()); err != nil {
		return nil, err
	}
	if packed.Len() > store.MostRecordData {
		return nil, fmt.Errorf("the rules remember too much: %d bytes, a record takes %d; fewer groups or shorter windows need less", packed.Len(), store.MostRecordData)
	}
	return packed.Bytes(), nil
}

func unpack(packed []byte, s *state) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, s)
}
