package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// Replayed is what became of dead letters that were tried again or, in a dry
// run, what would.
type Replayed struct {
	Replayed   int      `json:"replayed"`   // letters that are letters no more
	Stored     int      `json:"stored"`     // events
	Duplicates int      `json:"duplicates"` // events that had been stored meanwhile
	Kept       int      `json:"kept"`       // letters that stay
	Failed     []Failed `json:"failed"`     // the first of them
	DryRun     bool     `json:"dry_run"`
}

// Failed is a dead letter that stays one.
type Failed struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Replay stores the events of dead letters as they are, as the consumer would
// have, and removes the letters. Where nothing is selected it takes all. A
// letter that still cannot be read or stored stays.
func (a *Admin) Replay(ctx context.Context, project string, s Selection) (*Replayed, error) {
	s.All = s.All || len(s.IDs) == 0 && s.Filter == nil
	if err := s.check(); err != nil {
		return nil, err
	}
	done := &Replayed{Failed: []Failed{}, DryRun: s.DryRun}
	err := a.each(ctx, project, s, func(l *store.DeadLetter) error {
		outcomes, err := a.replay(ctx, l, s.DryRun)
		if fault.KindOf(err) == fault.Invalid {
			done.fail(l.ID, err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("replay dead letter %s: %w", l.ID, err)
		}
		done.count(outcomes)
		return nil
	})
	return done, err
}

func (r *Replayed) fail(id string, err error) {
	if r.Kept++; len(r.Failed) < MaxPage {
		r.Failed = append(r.Failed, Failed{id, err.Error()})
	}
}

func (r *Replayed) count(outcomes []store.Outcome) {
	r.Replayed++
	for _, o := range outcomes {
		if o == store.Duplicate {
			r.Duplicates++
		} else {
			r.Stored++
		}
	}
}

// replay stores one letter's events under a batch id made from the letter's
// own id, so that a replay that was cut short is taken up again and not
// counted twice. The letter goes last. An error of kind fault.Invalid says why it stays.
func (a *Admin) replay(ctx context.Context, l *store.DeadLetter, dry bool) ([]store.Outcome, error) {
	events, sources, err := eventsOf(l, event.TimeOf(a.now()))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "unreadable", err)
	}
	if dry {
		return a.foresee(ctx, events)
	}
	outcomes, err := a.store.InsertEvents(ctx, events)
	if err != nil {
		return nil, err
	}
	if err := a.store.RecordBatches(ctx, a.journal(l, events, sources, outcomes)); err != nil {
		return nil, err
	}
	_, err = a.store.DeleteDeadLetters(ctx, []string{l.ID})
	return outcomes, err
}

// foresee is what InsertEvents would say, but of events that were erased and
// of copies among these.
func (a *Admin) foresee(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	outcomes := make([]store.Outcome, len(events))
	for i := range events {
		e := &events[i]
		there, err := a.store.Event(ctx, e.Project, e.EventID)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, err
		case there.BatchID == e.BatchID && there.Position == e.Position:
			outcomes[i] = store.Own // by a replay that was cut short
		default:
			outcomes[i] = store.Duplicate
		}
	}
	return outcomes, nil
}

// eventsOf reads a letter, gives its events their place in the batch of the
// replay, and says whose they are, for as many events.
func eventsOf(l *store.DeadLetter, now event.Time) ([]event.Event, []event.Source, error) {
	events, header, err := read(l)
	if err != nil {
		return nil, nil, err
	}
	if len(events) == 0 {
		return nil, nil, errors.New("there is no event in it")
	}
	sources := []event.Source{{Project: l.Project, Key: l.Key, Hour: l.Hour, Events: 1}}
	if l.Position < 0 {
		sources = header.Runs()
	}
	id := replayID(l)
	for i := range events {
		if name := events[i].Lacks(); name != "" {
			return nil, nil, fmt.Errorf("%s is missing", name)
		}
		events[i].BatchID, events[i].Position, events[i].StoredAt = id, i, now
	}
	return events, sources, nil
}

// replayID is a UUIDv7 with the letter's time and, in place of random bits, a
// digest of its id: the same for every try.
func replayID(l *store.DeadLetter) string {
	sum := sha256.Sum256([]byte("replay " + l.ID))
	var id [16]byte
	copy(id[:], sum[:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(0, l.FirstSeen)))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	h := hex.EncodeToString(id[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// journal is an entry for each project in the letter. A negative count of dead
// letters takes back what the first delivery counted for the same project, key
// and hour, so that there accepted = stored + duplicates + dead-lettered holds on.
func (a *Admin) journal(l *store.DeadLetter, events []event.Event, sources []event.Source, outcomes []store.Outcome) []store.Batch {
	var entries []store.Batch
	entry := func(project string) *store.Batch {
		at := slices.IndexFunc(entries, func(b store.Batch) bool { return b.Project == project })
		if at < 0 {
			at = len(entries)
			entries = append(entries, store.Batch{ID: events[0].BatchID, Project: project, WrittenAt: event.TimeOf(a.now())})
		}
		return &entries[at]
	}
	i := 0
	for _, from := range sources {
		for range from.Events {
			from.Hour = cmp.Or(from.Hour, events[i].ReceivedAt.Hour())
			entry(cmp.Or(from.Project, l.Project)).Bury(event.Source{Key: from.Key, Hour: from.Hour, Events: -1})
			entry(events[i].Project).Count(&events[i], from, outcomes[i])
			i++
		}
	}
	for i := range entries {
		slices.Sort(entries[i].Days)
	}
	return entries
}
