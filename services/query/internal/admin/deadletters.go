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

// DeadLetter is a dead letter as it is shown.
type DeadLetter struct {
	ID        string     `json:"id"`
	Project   string     `json:"project"`
	BatchID   string     `json:"batch_id"`
	Position  int        `json:"position"`
	Reason    string     `json:"reason"`
	Payload   string     `json:"payload"`
	Attempts  int        `json:"attempts"`
	FirstSeen event.Time `json:"first_seen"`
}

// DeadLetterPage is a part of the list.
type DeadLetterPage struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	NextCursor  *string      `json:"next_cursor"`
}

// Selection says which of a project's dead letters are meant.
type Selection struct {
	IDs    []string `json:"ids"`
	All    bool     `json:"all"`
	DryRun bool     `json:"dry_run"` // change nothing, say what would become of them
}

// Replayed is what became of dead letters that were tried again.
type Replayed struct {
	Replayed   int      `json:"replayed"`   // letters that are letters no more
	Stored     int      `json:"stored"`     // events
	Duplicates int      `json:"duplicates"` // events that had been stored meanwhile
	Failed     []Failed `json:"failed"`     // letters that stay
}

// Failed is a dead letter that stays one.
type Failed struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// AllProjects in place of a project's id means every project's dead letters,
// and those too broken to tell whose they are.
const AllProjects = "*"

// MaxPage is the most dead letters in one answer.
const MaxPage = 1000

// DeadLetters lists a project's dead letters after a cursor, oldest batch first.
func (a *Admin) DeadLetters(ctx context.Context, project, cursor string, limit int) (*DeadLetterPage, error) {
	if err := a.mustExist(ctx, project); err != nil {
		return nil, err
	}
	letters, err := a.store.DeadLetters(ctx, project, cursor, limit)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	page := &DeadLetterPage{DeadLetters: []DeadLetter{}}
	for _, l := range letters {
		page.DeadLetters = append(page.DeadLetters, DeadLetter{
			l.ID, l.Project, l.BatchID, l.Position, l.Reason,
			strings.ToValidUTF8(string(l.Payload), "\uFFFD"), l.Attempts, l.FirstSeen,
		})
	}
	if len(letters) == limit {
		page.NextCursor = &letters[limit-1].ID
	}
	return page, nil
}

// Discard deletes dead letters for good and says how many there were.
func (a *Admin) Discard(ctx context.Context, project string, s Selection) (int, error) {
	if len(s.IDs) == 0 && !s.All {
		return 0, fault.Field("ids", `say which: "ids": ["…"], or "all": true`)
	}
	if err := a.mustExist(ctx, project); err != nil {
		return 0, err
	}
	discarded := 0
	err := a.each(ctx, project, s, func(letters []store.DeadLetter) error {
		if s.DryRun {
			discarded += len(letters)
			return nil
		}
		n, err := a.store.DeleteDeadLetters(ctx, idsOf(letters))
		discarded += n
		return err
	})
	if err != nil {
		err = fmt.Errorf("discard dead letters: %w", err)
	}
	return discarded, err
}

// Replay stores the events of dead letters, as the consumer would have, and
// removes the letters. Without ids it takes all. A letter that still cannot be
// read or stored stays. A dry run only tells which can be read.
func (a *Admin) Replay(ctx context.Context, project string, s Selection) (*Replayed, error) {
	if err := a.mustExist(ctx, project); err != nil {
		return nil, err
	}
	done := &Replayed{Failed: []Failed{}}
	err := a.each(ctx, project, s, func(letters []store.DeadLetter) error {
		for _, l := range letters {
			if err := a.replay(ctx, l, s.DryRun, done); err != nil {
				return fmt.Errorf("replay dead letter %s: %w", l.ID, err)
			}
		}
		return nil
	})
	return done, err
}

// replay stores one letter's events under a batch id made from the letter's
// own id, so that a replay that was cut short is taken up again and not
// counted twice. The letter goes last.
func (a *Admin) replay(ctx context.Context, l store.DeadLetter, dry bool, done *Replayed) error {
	events, sources, err := eventsOf(l, event.TimeOf(a.now()))
	if err != nil {
		done.Failed = append(done.Failed, Failed{l.ID, err.Error()})
		return nil
	}
	if dry {
		done.Replayed++
		return nil
	}
	outcomes, err := a.store.InsertEvents(ctx, events)
	if fault.KindOf(err) == fault.Invalid {
		done.Failed = append(done.Failed, Failed{l.ID, err.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	entries := a.journal(l, events, sources, outcomes)
	if err := a.store.RecordBatches(ctx, entries); err != nil {
		return err
	}
	if _, err := a.store.DeleteDeadLetters(ctx, []string{l.ID}); err != nil {
		return err
	}
	done.Replayed++
	for _, b := range entries {
		done.Stored += b.Stored
		done.Duplicates += b.Duplicates
	}
	return nil
}

// eventsOf reads a letter's payload, one event or a whole message, gives the
// events their place in the batch of the replay, and says whose they are.
func eventsOf(l store.DeadLetter, now event.Time) ([]event.Event, []event.Source, error) {
	events, sources, err := decode(l)
	if err != nil {
		return nil, nil, err
	}
	if len(events) == 0 {
		return nil, nil, errors.New("there is no event in it")
	}
	id := replayID(l)
	for i := range events {
		events[i].BatchID, events[i].Position, events[i].StoredAt = id, i, now
	}
	return events, sources, nil
}

// decode gives as many events as the sources say: DecodeMessage counts them.
func decode(l store.DeadLetter) ([]event.Event, []event.Source, error) {
	if l.Position >= 0 {
		e, err := event.DecodeWire(string(l.Payload))
		return []event.Event{e}, []event.Source{{Project: l.Project, Key: l.Key, Hour: l.Hour, Events: 1}}, err
	}
	header, events, bad, err := event.DecodeMessage(l.Payload)
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("line %d: %w", bad[0].Position, bad[0].Err)
	}
	return events, header.Runs(), err
}

// replayID is a UUIDv7 with the letter's time and, in place of random bits, a
// digest of its id: the same for every try.
func replayID(l store.DeadLetter) string {
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
func (a *Admin) journal(l store.DeadLetter, events []event.Event, sources []event.Source, outcomes []store.Outcome) []store.Batch {
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

// each calls do with the selected letters of a project, a page at a time.
func (a *Admin) each(ctx context.Context, project string, s Selection, do func([]store.DeadLetter) error) error {
	wanted := make(map[string]bool, len(s.IDs))
	for _, id := range s.IDs {
		wanted[id] = true
	}
	for after := ""; ; {
		letters, err := a.store.DeadLetters(ctx, project, after, MaxPage)
		if err != nil || len(letters) == 0 {
			return err
		}
		after = letters[len(letters)-1].ID
		if len(wanted) > 0 {
			letters = slices.DeleteFunc(letters, func(l store.DeadLetter) bool { return !wanted[l.ID] })
		}
		if len(letters) == 0 {
			continue
		}
		if err := do(letters); err != nil {
			return err
		}
	}
}

func (a *Admin) mustExist(ctx context.Context, project string) error {
	if project == AllProjects {
		return nil
	}
	_, err := a.find(ctx, project)
	return err
}

func idsOf(letters []store.DeadLetter) []string {
	ids := make([]string, len(letters))
	for i, l := range letters {
		ids[i] = l.ID
	}
	return ids
}
