package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	Resends    []Resend       `json:"resends"`
}

// Progress is how far a destination is. Events that are sent again count again.
type Progress struct {
	Sent        int64      `json:"sent"`
	LeftOut     int64      `json:"left_out"` // by the definition
	Refused     int64      `json:"refused"`  // by the destination, for good
	StoredUpTo  event.Time `json:"stored_up_to"`
	LagSeconds  float64    `json:"lag_seconds"` // how long the oldest stored event waits; 0: none does
	LagEntries  int64      `json:"lag_entries"` // of the journal that wait
	LagEvents   int64      `json:"lag_events"`
	LagAtLeast  bool       `json:"lag_at_least"` // not all that waits is counted yet
	LastSentAt  event.Time `json:"last_sent_at"`
	Failures    int        `json:"failures"` // in a row, up to now
	LastError   string     `json:"last_error"`
	LastErrorAt event.Time `json:"last_error_at"`
	Paused      *Paused    `json:"paused"` // null: it is not
}

// Paused says that a destination is sent no more until somebody changes or resumes it.
type Paused struct {
	Reason string     `json:"reason"`
	At     event.Time `json:"at"`
}

// Resend is refused events that are sent again.
type Resend struct {
	ID       string   `json:"id"`
	Events   int      `json:"events"` // those that were named; 0: all
	Done     bool     `json:"done"`
	Progress Progress `json:"progress"`
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

// forgetDestination deletes what is left of a destination that is no more.
func (a *Admin) forgetDestination(ctx context.Context, project, id string) error {
	for _, kept := range [][2]string{{destination.StateKind, id}, {destination.LetterKind, id}, {destination.LeaseKind, destination.LeaseID(id)}} {
		if err := a.deleteBelow(ctx, kept[0], project, kept[1]); err != nil {
			return fmt.Errorf("forget destination: %w", err)
		}
	}
	return nil
}

// deleteBelow deletes records with an id, and those whose ids begin with it and "/".
func (a *Admin) deleteBelow(ctx context.Context, kind, project, id string) error {
	return a.eachRecord(ctx, kind, project, id, func(r store.Record) error {
		err := a.store.DeleteRecord(ctx, r)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
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

// Resume has a destination go on that was paused; one that was not begins anew
// where it is.
func (a *Admin) Resume(ctx context.Context, project, id string) (*Destination, error) {
	k, err := a.destination(ctx, project, id)
	if err != nil {
		return nil, err
	}
	return a.keepDestination(ctx, k, k.definition, a.store.UpdateRecord)
}

// ResendLetters offers refused events to their destination once more: those that
// are named, or all.
func (a *Admin) ResendLetters(ctx context.Context, project, id string, body []byte) (*Destination, error) {
	events, err := readLetterIDs(body)
	if err != nil {
		return nil, err
	}
	k, err := a.destination(ctx, project, id)
	if err != nil {
		return nil, err
	}
	if err := a.dropFinished(ctx, k); err != nil {
		return nil, err
	}
	k.wanted.Resends = append(k.wanted.Resends, destination.Resend{ID: random()[:12], Events: events, Until: int64(event.TimeOf(a.now()))})
	return a.keepDestination(ctx, k, k.definition, a.store.UpdateRecord)
}

// DiscardLetters deletes those about events that are named, or all, and says how many there were.
func (a *Admin) DiscardLetters(ctx context.Context, project, id string, body []byte) (deleted int, err error) {
	events, err := readLetterIDs(body)
	if err != nil {
		return 0, err
	}
	if _, err := a.destination(ctx, project, id); err != nil {
		return 0, err
	}
	discard := func(r store.Record) error {
		err := a.store.DeleteRecord(ctx, r)
		if err == nil {
			deleted++
		} else if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
	if events == nil {
		return deleted, a.eachRecord(ctx, destination.LetterKind, project, id, discard)
	}
	for _, e := range events {
		r, err := a.store.Record(ctx, destination.LetterKind, project, destination.LetterID(id, e))
		if err == nil {
			err = discard(*r)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return deleted, fmt.Errorf("discard letters: %w", err)
		}
	}
	return deleted, nil
}

// mostLetterIDs is how many events can be named at once.
const mostLetterIDs = 1000

// readLetterIDs are event ids; nil means all.
func readLetterIDs(body []byte) ([]string, error) {
	p, err := ask.ParamsFromJSON(body)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, v := range p.List("event_ids") {
		id, _ := v.(string)
		ids = append(ids, id)
	}
	if all := p.Bool("all", false); all == (ids != nil) || len(ids) > mostLetterIDs || slices.Contains(ids, "") {
		p.Fail("event_ids", `must be a list of 1 to %d texts, or "all" must be true`, mostLetterIDs)
	}
	return ids, p.Done()
}

// dropFinished makes room for another backfill or resend.
func (a *Admin) dropFinished(ctx context.Context, k *keptDestination) (err error) {
	left := 0
	done := func(id string) bool {
		if err != nil {
			return false
		}
		var state *destination.State
		id = k.record.ID + "/" + id
		if state, err = a.stateOf(ctx, k.record.Project, id); err != nil || !state.Done {
			left++
			return false
		}
		err = errors.Join(
			a.deleteBelow(ctx, destination.StateKind, k.record.Project, id),
			a.deleteBelow(ctx, destination.LeaseKind, k.record.Project, destination.LeaseID(id)),
		)
		return true
	}
	k.wanted.Backfills = slices.DeleteFunc(k.wanted.Backfills, func(b destination.Backfill) bool { return done(b.ID) })
	k.wanted.Resends = slices.DeleteFunc(k.wanted.Resends, func(r destination.Resend) bool { return done(r.ID) })
	if err == nil && left >= mostBackfills {
		err = fault.New(fault.Conflict, "too_many", "destination %q has %d backfills and resends at work: wait for one to end", k.record.ID, left)
	}
	return err
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
	shown := &Destination{definition, k.wanted.CreatedAt, k.wanted.UpdatedAt, progressOf(state), []Backfill{}, []Resend{}}
	if err := a.showLag(ctx, k, state, &shown.Progress); err != nil {
		return nil, err
	}
	for _, b := range k.wanted.Backfills {
		state, err := a.stateOf(ctx, k.record.Project, k.record.ID+"/"+b.ID)
		if err != nil {
			return nil, err
		}
		shown.Backfills = append(shown.Backfills, Backfill{b.ID, event.Time(b.From), event.Time(b.To), state.Done, progressOf(state)})
	}
	for _, r := range k.wanted.Resends {
		state, err := a.stateOf(ctx, k.record.Project, k.record.ID+"/"+r.ID)
		if err != nil {
			return nil, err
		}
		shown.Resends = append(shown.Resends, Resend{r.ID, len(r.Events), state.Done, progressOf(state)})
	}
	return shown, nil
}

func progressOf(s *destination.State) Progress {
	p := Progress{
		Sent: s.Sent, LeftOut: s.LeftOut, Refused: s.Refused, StoredUpTo: event.Time(s.StoredAt),
		LastSentAt: event.Time(s.LastSentAt), Failures: s.Failures, LastError: s.LastError, LastErrorAt: event.Time(s.LastErrorAt),
	}
	if s.Paused != nil {
		p.Paused = &Paused{s.Paused.Reason, event.Time(s.Paused.At)}
	}
	return p
}

// counted is how long what a consumer has said of a backlog is believed.
const counted = 90 * time.Second

// showLag tells what waits: as the consumer that forwards counts it, or, when
// nobody does, as far as the journal can be read now.
func (a *Admin) showLag(ctx context.Context, k *keptDestination, s *destination.State, p *Progress) error {
	if s.Start == k.wanted.Start.ID && a.now().Sub(event.Time(s.SavedAt).Std()) < counted {
		p.LagEntries, p.LagEvents, p.LagAtLeast = s.Backlog.Entries, s.Backlog.Events, s.Backlog.CountedTo != 0
		p.LagSeconds = a.secondsSince(event.Time(s.WaitingAt))
		return nil
	}
	after := event.Time(k.wanted.Start.At) - 1
	if s.Start == k.wanted.Start.ID {
		after = max(after, event.Time(s.StoredAt))
	}
	return a.countLag(ctx, k.record.Project, after, p)
}

func (a *Admin) secondsSince(t event.Time) float64 {
	if t == 0 {
		return 0
	}
	return max(0, a.now().Sub(t.Std()).Seconds())
}

// mostCounted is how many entries of the journal are read while somebody waits
// for an answer.
const mostCounted = 100_000

var errEnough = errors.New("enough")

// countLag counts what was stored of a project after a moment.
func (a *Admin) countLag(ctx context.Context, project string, after event.Time, p *Progress) error {
	read := 0
	err := store.EachBatch(ctx, a.store, store.Cursor{WrittenAt: after + 1}, func(b *store.Batch) error {
		if b.Project == project && b.Live() > 0 {
			if p.LagEntries++; p.LagEntries == 1 {
				p.LagSeconds = a.secondsSince(b.WrittenAt)
			}
			p.LagEvents += int64(b.Stored - b.Erased)
		}
		if read++; read == mostCounted {
			return errEnough
		}
		return nil
	})
	if p.LagAtLeast = errors.Is(err, errEnough); p.LagAtLeast {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	return nil
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
