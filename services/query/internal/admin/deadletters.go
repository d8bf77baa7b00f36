package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// DeadLetter is a dead letter as it is listed.
type DeadLetter struct {
	ID           string     `json:"id"`
	Project      string     `json:"project"`
	BatchID      string     `json:"batch_id"`
	Position     int        `json:"position"`
	Reason       string     `json:"reason"`
	Payload      string     `json:"payload"` // of a long one the beginning
	PayloadBytes int        `json:"payload_bytes"`
	Attempts     int        `json:"attempts"`
	FirstSeen    event.Time `json:"first_seen"`
}

// DeadLetterPage is a part of the list.
type DeadLetterPage struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	NextCursor  *string      `json:"next_cursor"`
}

// OpenLetter is one dead letter with all that is in it.
type OpenLetter struct {
	DeadLetter
	Key           string         `json:"key"`
	Hour          event.Time     `json:"hour"`
	PayloadBase64 *string        `json:"payload_base64"` // when the payload is no text
	Header        *Header        `json:"header"`         // of a whole message
	Events        []*event.Event `json:"events"`         // those that can be read
	Unreadable    *string        `json:"unreadable"`     // why not all can be
}

// Header is the first line of a message.
type Header struct {
	Version int            `json:"version"`
	BatchID string         `json:"batch_id"`
	Events  int            `json:"events"`
	Sources []event.Source `json:"sources"`
}

// AllProjects in place of a project's id means every project's dead letters,
// and those too broken to tell whose they are.
const AllProjects = "*"

// MaxPage is the most dead letters in one answer.
const MaxPage = 1000

const (
	listedBytes   = 4096   // of a payload in a list
	lettersAtOnce = 100    // in memory: each may have a megabyte
	mostSearched  = 10_000 // by one request for a page
)

// DeadLetters lists those of a project that the filter means, after a cursor,
// oldest batch first. Where few are meant, a page may have fewer than the limit
// though there are more.
func (a *Admin) DeadLetters(ctx context.Context, project string, f Filter, cursor string, limit int) (*DeadLetterPage, error) {
	meant, err := a.filter(ctx, project, &f)
	if err != nil {
		return nil, err
	}
	page := &DeadLetterPage{DeadLetters: []DeadLetter{}}
	for searched := 0; ; {
		letters, err := a.store.DeadLetters(ctx, project, cursor, min(lettersAtOnce, limit))
		if err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		for i := range letters {
			cursor = letters[i].ID
			if meant(&letters[i]) {
				page.DeadLetters = append(page.DeadLetters, listed(&letters[i]))
			}
			if searched++; len(page.DeadLetters) == limit || searched == mostSearched {
				page.NextCursor = &cursor
				return page, nil
			}
		}
		if len(letters) < min(lettersAtOnce, limit) {
			return page, nil
		}
	}
}

func listed(l *store.DeadLetter) DeadLetter {
	return DeadLetter{
		l.ID, l.Project, l.BatchID, l.Position, l.Reason,
		text(l.Payload[:min(len(l.Payload), listedBytes)]), len(l.Payload), l.Attempts, l.FirstSeen,
	}
}

// text is bytes as JSON can hold them.
func text(payload []byte) string { return strings.ToValidUTF8(string(payload), "\uFFFD") }

// DeadLetter is one of a project's, as it came, and as far as it can be read.
func (a *Admin) DeadLetter(ctx context.Context, project, id string) (*OpenLetter, error) {
	if _, err := a.mustExist(ctx, project); err != nil {
		return nil, err
	}
	l, err := a.letter(ctx, project, id)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return nil, unknownLetters(project, []string{id})
	}
	open := &OpenLetter{DeadLetter: listed(l), Key: l.Key, Events: []*event.Event{}}
	if open.Payload = text(l.Payload); !utf8.Valid(l.Payload) {
		exact := base64.StdEncoding.EncodeToString(l.Payload)
		open.PayloadBase64 = &exact
	}
	if l.Hour != 0 {
		open.Hour = event.TimeOfHour(l.Hour)
	}
	open.read(l)
	return open, nil
}

// read shows what of the payload can be read, and says what cannot.
func (o *OpenLetter) read(l *store.DeadLetter) {
	events, header, err := read(l)
	for i := range events {
		o.Events = append(o.Events, &events[i])
	}
	if header.Version != 0 {
		o.Header = &Header{header.Version, header.BatchID, header.Events, append([]event.Source{}, header.Sources...)}
	}
	if err != nil {
		why := err.Error()
		o.Unreadable = &why
	}
}

// read gives what can be read of a letter, one event or a whole message, and an
// error when that is not all of it.
func read(l *store.DeadLetter) ([]event.Event, event.Header, error) {
	if l.Position >= 0 {
		e, err := event.DecodeWire(string(l.Payload))
		if err != nil {
			return nil, event.Header{}, err
		}
		return []event.Event{e}, event.Header{}, nil
	}
	header, events, bad, err := event.DecodeMessage(l.Payload)
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("line %d: %w", bad[0].Position, bad[0].Err)
	}
	return events, header, err
}

// letter is a letter of the project; nil when there is none.
func (a *Admin) letter(ctx context.Context, project, id string) (*store.DeadLetter, error) {
	l, err := a.store.DeadLetter(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && project != AllProjects && l.Project != project {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter: %w", err)
	}
	return l, nil
}

func unknownLetters(project string, ids []string) error {
	return fault.New(fault.NotFound, "unknown_dead_letter", "project %q has no dead letter %s: it may have been replayed or discarded", project, strings.Join(ids, ", "))
}
