package admin

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// Discarding is which dead letters are to be deleted, and why.
type Discarding struct {
	Selection
	Reason string `json:"reason"`
	By     string `json:"by"` // who wants it; everybody has the same key
}

// Discarded is how many were deleted.
type Discarded struct {
	Discarded int  `json:"discarded"`
	DryRun    bool `json:"dry_run"`
}

// Discard is a dead letter's deletion as it is shown.
type Discard struct {
	Letter      string     `json:"id"` // of the letter
	Project     string     `json:"project"`
	BatchID     string     `json:"batch_id"`
	Position    int        `json:"position"`
	FirstSeen   event.Time `json:"first_seen"`
	DiscardedAt event.Time `json:"discarded_at"`
	By          string     `json:"by"`
	Address     string     `json:"address"`
	Reason      string     `json:"reason"`
}

// DiscardPage is a part of the log.
type DiscardPage struct {
	Discards   []Discard `json:"discards"`
	NextCursor *string   `json:"next_cursor"`
}

// most characters of what people say about a discard.
const (
	maxReason = 500
	maxBy     = 200
)

// Discard deletes dead letters for good, and notes of each who did it, when
// and why, before it goes.
func (a *Admin) Discard(ctx context.Context, project, address string, d Discarding) (*Discarded, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	done := &Discarded{DryRun: d.DryRun}
	var notes []store.Discard
	err := a.each(ctx, project, d.Selection, func(l *store.DeadLetter) error {
		done.Discarded++
		if d.DryRun {
			return nil
		}
		if notes = append(notes, a.note(l, &d, address)); len(notes) < lettersAtOnce {
			return nil
		}
		some := notes
		notes = nil
		return a.discard(ctx, some)
	})
	if err == nil {
		err = a.discard(ctx, notes)
	}
	return done, err
}

func (d *Discarding) check() error {
	if err := d.Selection.check(); err != nil {
		return err
	}
	d.Reason, d.By = strings.TrimSpace(d.Reason), strings.TrimSpace(d.By)
	if n := utf8.RuneCountInString(d.Reason); n < 1 || n > maxReason {
		return fault.Field("reason", "say why they are discarded, in 1 to %d characters, got %d: it is all that stays", maxReason, n)
	}
	if n := utf8.RuneCountInString(d.By); n > maxBy {
		return fault.Field("by", "must have at most %d characters, got %d", maxBy, n)
	}
	return nil
}

func (a *Admin) note(l *store.DeadLetter, d *Discarding, address string) store.Discard {
	now := event.TimeOf(a.now())
	return store.Discard{
		ID: fmt.Sprintf("%013d/%s", now, l.ID), Letter: l.ID, Project: l.Project, BatchID: l.BatchID, Position: l.Position, FirstSeen: l.FirstSeen,
		At: now, By: cmp.Or(d.By, "a holder of the admin key"), Address: address, Reason: d.Reason,
	}
}

// discard writes the notes and deletes their letters. When it is cut short
// between the two, a letter is there still and can be discarded again.
func (a *Admin) discard(ctx context.Context, notes []store.Discard) error {
	ids := make([]string, len(notes))
	for i := range notes {
		ids[i] = notes[i].Letter
	}
	err := a.store.PutDiscards(ctx, notes)
	if err == nil {
		_, err = a.store.DeleteDeadLetters(ctx, ids)
	}
	if err != nil {
		err = fmt.Errorf("discard dead letters: %w", err)
	}
	return err
}

// Discards lists what was discarded of a project after a cursor, oldest first.
func (a *Admin) Discards(ctx context.Context, project, cursor string, limit int) (*DiscardPage, error) {
	if _, err := a.mustExist(ctx, project); err != nil {
		return nil, err
	}
	discards, err := a.store.Discards(ctx, project, cursor, limit)
	if err != nil {
		return nil, fmt.Errorf("read discards: %w", err)
	}
	page := &DiscardPage{Discards: []Discard{}}
	for _, d := range discards {
		page.Discards = append(page.Discards, Discard{d.Letter, d.Project, d.BatchID, d.Position, d.FirstSeen, d.At, d.By, d.Address, d.Reason})
	}
	if len(discards) == limit {
		page.NextCursor = &discards[limit-1].ID
	}
	return page, nil
}
