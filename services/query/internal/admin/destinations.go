package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// Destination is one as it is shown: what is wanted, and how far it is.
type Destination struct {
	Definition map[string]any `json:"definition"`
	CreatedAt  event.Time     `json:"created_at"`
	UpdatedAt  event.Time     `json:"updated_at"`
	Progress   Progress       `json:"progress"`
	Backfills  []Backfill     `json:"backfills"`
}

// Progress is how far a destination is. Events that are sent again count again.
type Progress struct {
	Sent        int64      `json:"sent"`
	LeftOut     int64      `json:"left_out"` // by the definition
	Refused     int64      `json:"refused"`  // by the destination, for good
	StoredUpTo  event.Time `json:"stored_up_to"`
	LagSeconds  float64    `json:"lag_seconds"` // how long the oldest stored event waits; 0: none does
	LastSentAt  event.Time `json:"last_sent_at"`
	Failures    int        `json:"failures"` // in a row, up to now
	LastError   string     `json:"last_error"`
	LastErrorAt event.Time `json:"last_error_at"`
}

// Backfill is a range that is sent once more.
type Backfill struct {
	ID       string     `json:"id"`
	From     event.Time `json:"from"`
	To       event.Time `json:"to"`
	Done     bool       `json:"done"`
	Progress Progress   `json:"progress"`
}

// RefusedLetter is an event that a destination does not take.
type RefusedLetter struct {
	ID      string     `json:"id"`
	EventID string     `json:"event_id"`
	BatchID string     `json:"batch_id"`
	Reason  string     `json:"reason"`
	At      event.Time `json:"at"`
}

// RefusedPage is a part of the list.
type RefusedPage struct {
	Letters    []RefusedLetter `json:"letters"`
	NextCursor *string         `json:"next_cursor"`
}

const (
	mostDestinations = 100 // of a project
	mostBackfills    = 10  // of a destination, at the same time
)

// kept is a destination's record, read.
type keptDestination struct {
	record     store.Record
	wanted     destination.Record
	definition *destination.Definition
}

func (a *Admin) destination(ctx context.Context, project, id string) (*keptDestination, error) {
	r, err := a.store.Record(ctx, destination.Kind, project, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fault.New(fault.NotFound, "unknown_destination", "project %q has no destination %q", project, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read destination: %w", err)
	}
	return readDestination(r)
}

func readDestination(r *store.Record) (*keptDestination, error) {
	k := &keptDestination{record: *r}
	err := json.Unmarshal(r.Data, &k.wanted)
	if err == nil {
		k.definition, err = destination.Read(k.wanted.Definition)
	}
	if err != nil { // a mistake of ours, whatever kind it has by itself
		return nil, errors.New("destination " + r.Key() + ": " + err.Error())
	}
	return k, nil
}

// Destinations are all of a project.
func (a *Admin) Destinations(ctx context.Context, project string) ([]*Destination, error) {
	if _, err := a.find(ctx, project); err != nil {
		return nil, err
	}
	records, err := a.store.Records(ctx, destination.Kind, project, "", mostDestinations)
	if err != nil {
		return nil, fmt.Errorf("read destinations: %w", err)
	}
	all := make([]*Destination, len(records))
	for i := range records {
		k, err := readDestination(&records[i])
		if err != nil {
			return nil, err
		}
		if all[i], err = a.showDestination(ctx, k); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Destination is one of a project.
func (a *Admin) Destination(ctx context.Context, project, id string) (*Destination, error) {
	k, err := a.destination(ctx, project, id)
	if err != nil {
		return nil, err
	}
	return a.showDestination(ctx, k)
}

// CreateDestination begins to forward to a destination of which there is none yet.
func (a *Admin) CreateDestination(ctx context.Context, project string, definition []byte) (*Destination, error) {
	if _, err := a.find(ctx, project); err != nil {
		return nil, err
	}
	d, err := destination.Read(definition)
	if err != nil {
		return nil, err
	}
	if records, err := a.store.Records(ctx, destination.Kind, project, "", mostDestinations); err != nil || len(records) == mostDestinations {
		return nil, cmp.Or(err, error(fault.New(fault.Conflict, "too_many", "project %q has %d destinations already", project, mostDestinations)))
	}
	if err := a.forgetDestination(ctx, project, d.ID); err != nil { // of an earlier one with the same id
		return nil, err
	}
	now := event.TimeOf(a.now())
	k := &keptDestination{
		record:     store.Record{Kind: destination.Kind, Project: project, ID: d.ID},
		wanted:     destination.Record{CreatedAt: now, Start: destination.Start{ID: random()[:12], At: int64(d.Begin(now))}},
		definition: d,
	}
	return a.keepDestination(ctx, k, nil, a.store.CreateRecord)
}

// PutDestination changes a destination, or creates it. One that is there goes on
// from where it is.
func (a *Admin) PutDestination(ctx context.Context, project, id string, definition []byte) (*Destination, error) {
	d, err := destination.Read(definition)
	if err != nil {
		return nil, err
	}
	if d.ID != id {
		return nil, fault.Field("id", "must be %q, as in the path", id)
	}
	k, err := a.destination(ctx, project, id)
	if fault.KindOf(err) == fault.NotFound {
		return a.CreateDestination(ctx, project, definition)
	}
	if err != nil {
		return nil, err
	}
	old := k.definition
	k.definition = d
	return a.keepDestination(ctx, k, old, a.store.UpdateRecord)
}

// keepDestination seals what is secret and writes the record.
func (a *Admin) keepDestination(ctx context.Context, k *keptDestination, old *destination.Definition, write func(context.Context, store.Record) error) (*Destination, error) {
	err := k.definition.Seal(a.secrets, k.record.Project, old)
	if err != nil {
		return nil, err
	}
	if k.wanted.Definition, err = json.Marshal(k.definition); err != nil {
		return nil, err
	}
	k.wanted.UpdatedAt = event.TimeOf(a.now())
	if k.record.Data, err = json.Marshal(k.wanted); err != nil {
		return nil, err
	}
	err = write(ctx, k.record)
	if errors.Is(err, store.ErrConflict) {
		return nil, fault.New(fault.Conflict, "changed_or_taken", "destination %q is there already, or was changed by somebody else at this moment", k.record.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("keep destination: %w", err)
	}
	return a.showDestination(ctx, k)
}

// DeleteDestination ends forwarding to it and forgets how far it was.
func (a *Admin) DeleteDestination(ctx context.Context, project, id string) error {
	k, err := a.destination(ctx, project, id)
	if err != nil {
		return err
	}
	if err := a.store.DeleteRecord(ctx, k.record); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("delete destination: %w", err)
	}
	return a.forgetDestination(ctx, project, id)
}

// forgetDestination deletes the states and letters of a destination that is no more.
func (a *Admin) forgetDestination(ctx context.Context, project, id string) error {
	for _, kind := range []string{destination.StateKind, destination.LetterKind} {
		err := a.eachRecord(ctx, kind, project, id, func(r store.Record) error {
			err := a.store.DeleteRecord(ctx, r)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("forget destination: %w", err)
		}
	}
	return nil
}

// eachRecord goes over those with an id and those whose ids begin with it and "/".
func (a *Admin) eachRecord(ctx context.Context, kind, project, id string, do func(store.Record) error) error {
	if r, err := a.store.Record(ctx, kind, project, id); err == nil {
		if err := do(*r); err != nil {
			return err
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	place := store.Record{Kind: kind, Project: project, ID: id}
	below := place.Key() + "0" // "0" is the character behind "/"
	for after := place.Key() + "/"; ; {
		page, err := a.store.Records(ctx, kind, project, after, MaxPage)
		if err != nil {
			return err
		}
		for _, r := range page {
			if after = r.Key(); after >= below {
				return nil
			}
			if err := do(r); err != nil {
				return err
			}
		}
		if len(page) < MaxPage {
			return nil
		}
	}
}

// Resend sends what was stored since a moment once more: it moves the destination
// back (or forward), or, up to another moment, runs beside what is new.
func (a *Admin) Resend(ctx context.Context, project, id string, body []byte) (*Destination, error) {
	p, err := ask.ParamsFromJSON(body)
	if err != nil {
		return nil, err
	}
	owner, err := a.find(ctx, project)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(owner.Timezone)
	if err != nil {
		return nil, err
	}
	from, _, given := p.Moment("from", calendar.Calendar{Zone: zone})
	_, to, bounded := p.Moment("to", calendar.Calendar{Zone: zone})
	if !given {
		p.Fail("from", "is required: a date, a time or epoch milliseconds")
	}
	if bounded && to < from {
		p.Fail("to", "must not be before from")
	}
	if err := p.Done(); err != nil {
		return nil, err
	}
	k, err := a.destination(ctx, project, id)
	if err != nil {
		return nil, err
	}
	if !bounded {
		k.wanted.Start = destination.Start{ID: random()[:12], At: int64(from)}
		return a.keepDestination(ctx, k, k.definition, a.store.UpdateRecord)
	}
	if err := a.dropFinished(ctx, k); err != nil {
		return nil, err
	}
	k.wanted.Backfills = append(k.wanted.Backfills, destination.Backfill{
		ID: random()[:12], From: int64(from), To: int64(min(to, event.TimeOf(a.now()))),
	})
	return a.keepDestination(ctx, k, k.definition, a.store.UpdateRecord)
}

// dropFinished makes room for another backfill.
func (a *Admin) dropFinished(ctx context.Context, k *keptDestination) error {
	var left []destination.Backfill
	for _, b := range k.wanted.Backfills {
		state, err := a.stateOf(ctx, k.record.Project, k.record.ID+"/"+b.ID)
		if err != nil {
			return err
		}
		if !state.Done {
			left = append(left, b)
		}
	}
	if len(left) >= mostBackfills {
		return fault.New(fault.Conflict, "too_many", "destination %q has %d backfills at work: wait for one to end", k.record.ID, len(left))
	}
	k.wanted.Backfills = left
	return nil
}

func (a *Admin) stateOf(ctx context.Context, project, id string) (*destination.State, error) {
	s := &destination.State{}
	r, err := a.store.Record(ctx, destination.StateKind, project, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("read the state of destination %s: %w", id, err)
	case len(r.Data) == 0:
		return s, nil
	}
	if err := json.Unmarshal(r.Data, s); err != nil {
		return nil, fmt.Errorf("read the state of destination %s: %w", id, err)
	}
	return s, nil
}

func (a *Admin) showDestination(ctx context.Context, k *keptDestination) (*Destination, error) {
	definition, err := k.definition.Shown()
	if err != nil {
		return nil, err
	}
	state, err := a.stateOf(ctx, k.record.Project, k.record.ID)
	if err != nil {
		return nil, err
	}
	progress := progressOf(state)
	since := max(event.Time(state.StoredAt), event.Time(k.wanted.Start.At))
	if state.Start != k.wanted.Start.ID {
		since = event.Time(k.wanted.Start.At)
	}
	if progress.LagSeconds, err = a.lag(ctx, k.record.Project, since); err != nil {
		return nil, err
	}
	shown := &Destination{definition, k.wanted.CreatedAt, k.wanted.UpdatedAt, progress, []Backfill{}}
	for _, b := range k.wanted.Backfills {
		state, err := a.stateOf(ctx, k.record.Project, k.record.ID+"/"+b.ID)
		if err != nil {
			return nil, err
		}
		shown.Backfills = append(shown.Backfills, Backfill{b.ID, event.Time(b.From), event.Time(b.To), state.Done, progressOf(state)})
	}
	return shown, nil
}

func progressOf(s *destination.State) Progress {
	return Progress{
		Sent: s.Sent, LeftOut: s.LeftOut, Refused: s.Refused, StoredUpTo: event.Time(s.StoredAt),
		LastSentAt: event.Time(s.LastSentAt), Failures: s.Failures, LastError: s.LastError, LastErrorAt: event.Time(s.LastErrorAt),
	}
}

// pageOfLag is how far the journal is read to find what waits.
const pageOfLag = 1000

// lag is how long the oldest of a project's events waits that was stored after a
// moment. It is true even when nobody forwards.
func (a *Admin) lag(ctx context.Context, project string, after event.Time) (float64, error) {
	entries, err := a.store.Batches(ctx, store.Cursor{WrittenAt: after + 1}, pageOfLag)
	if err != nil {
		return 0, fmt.Errorf("read the journal: %w", err)
	}
	for i := range entries {
		if b := &entries[i]; b.Project == project && b.Stored > b.Erased {
			return max(0, a.now().Sub(b.WrittenAt.Std()).Seconds()), nil
		}
	}
	return 0, nil
}

// RefusedLetters are events that a destination does not take, a page of them.
func (a *Admin) RefusedLetters(ctx context.Context, project, id, cursor string, limit int) (*RefusedPage, error) {
	if _, err := a.destination(ctx, project, id); err != nil {
		return nil, err
	}
	after := destination.LetterKind + "/" + project + "/" + id + "/" + cursor
	below := destination.LetterKind + "/" + project + "/" + id + "0"
	records, err := a.store.Records(ctx, destination.LetterKind, project, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read letters: %w", err)
	}
	page := &RefusedPage{Letters: []RefusedLetter{}}
	for i := range records {
		if records[i].Key() >= below {
			return page, nil
		}
		var l destination.Letter
		if err := json.Unmarshal(records[i].Data, &l); err != nil {
			return nil, fmt.Errorf("letter %s: %w", records[i].Key(), err)
		}
		page.Letters = append(page.Letters, RefusedLetter{records[i].ID, l.EventID, l.BatchID, l.Reason, event.Time(l.At)})
	}
	if len(records) == limit {
		page.NextCursor = &page.Letters[limit-1].EventID
	}
	return page, nil
}
