package forward

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// refuse keeps a letter. It has the id of its event, so one is enough however
// often the event is sent.
func (p *pump) refuse(ctx context.Context, i *Item) error {
	data, err := json.Marshal(destination.Letter{
		EventID: i.eventID, BatchID: i.place.Batch, Destination: p.definition.ID, Reason: i.reason, At: time.Now().UnixMilli(),
	})
	if err != nil {
		return err
	}
	r := &store.Record{Kind: destination.LetterKind, Project: p.project, ID: destination.LetterID(p.definition.ID, i.eventID), Data: data}
	if err := p.records.CreateRecord(ctx, *r); !errors.Is(err, store.ErrConflict) || p.resend == nil {
		return unless(err, store.ErrConflict)
	}
	if r, err = p.records.Record(ctx, r.Kind, r.Project, r.ID); err == nil {
		r.Data = data
		err = p.records.UpdateRecord(ctx, *r)
	}
	return err
}

// drop deletes the letter of an event that need not be sent again.
func (p *pump) drop(ctx context.Context, eventID string) error {
	if p.resend == nil {
		return nil
	}
	r, err := p.records.Record(ctx, destination.LetterKind, p.project, destination.LetterID(p.definition.ID, eventID))
	if err == nil {
		err = p.records.DeleteRecord(ctx, *r)
	}
	return unless(err, store.ErrNotFound)
}

func unless(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// mostLetters is how many refused events are sent again at a time.
const mostLetters = 500

// gatherLetters are the next refused events that are to be sent again.
func (p *pump) gatherLetters(ctx context.Context) (g *destination.Group, err error) {
	err = p.insist(ctx, func() (err error) {
		g, err = p.nextLetters(ctx)
		return err
	})
	return g, err
}

func (p *pump) nextLetters(ctx context.Context) (*destination.Group, error) {
	below := store.Record{Kind: destination.LetterKind, Project: p.project, ID: destination.LetterID(p.definition.ID, "")}
	g := &destination.Group{}
	for after := max(p.letters, below.Key()); ; {
		page, err := p.records.Records(ctx, destination.LetterKind, p.project, after, mostLetters)
		if err != nil {
			return nil, err
		}
		for i := range page {
			if after = page[i].Key(); !strings.HasPrefix(after, below.Key()) {
				break
			}
			var l destination.Letter
			if err := json.Unmarshal(page[i].Data, &l); err != nil {
				return nil, err
			}
			if l.At <= p.resend.Until && (len(p.resend.Events) == 0 || slices.Contains(p.resend.Events, l.EventID)) {
				g.Events = append(g.Events, l.EventID)
			}
		}
		p.letters = after
		switch last := len(page) < mostLetters || !strings.HasPrefix(after, below.Key()); {
		case len(g.Events) > 0:
			g.ID = g.Events[0] + "-" + sumOf(g.Events)
			return g, nil
		case last:
			return nil, nil
		}
	}
}

// eachOfLetters goes over the events of some letters; of one that was erased the letter goes, too.
func (p *pump) eachOfLetters(ctx context.Context, ids []string, do func(*event.Event) error) error {
	for _, id := range ids {
		e, err := p.forwarder.store.Event(ctx, p.project, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			err = p.drop(ctx, id)
		case err == nil:
			err = do(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
