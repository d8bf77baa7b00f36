package report

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// MaxEvents is the most events in one answer.
const MaxEvents = 1000

// EventsRequest asks for raw events, newest first.
type EventsRequest struct {
	Common
	UserID    string `json:"user_id,omitempty"`
	EventType string `json:"event_type,omitempty"`
	Limit     int    `json:"limit"`
	Cursor    string `json:"cursor,omitempty"`

	after *place
}

// EventsAnswer is a page of raw events. The cursor of the last page is null.
type EventsAnswer struct {
	Events     []*event.Event `json:"events"`
	NextCursor *string        `json:"next_cursor"`
	Definition definition     `json:"definition"`
}

// definition says in words what the numbers of an answer mean.
type definition map[string]string

// ReadEvents reads the request.
func ReadEvents(p *Params, env Env) (EventsRequest, error) {
	r := EventsRequest{
		Common:    p.Common(env),
		UserID:    p.String("user_id", ""),
		EventType: p.String("event_type", ""),
		Limit:     p.Int("limit", 100, 1, MaxEvents),
		Cursor:    p.String("cursor", ""),
	}
	if r.Cursor != "" {
		if r.after = parsePlace(r.Cursor); r.after == nil {
			p.Fail("cursor", "must be the next_cursor of an earlier answer, got %q", r.Cursor)
		}
	}
	return r, p.Done()
}

// Events lists raw events. The order is total (time, then batch, then place in
// it), so that paging shows no event twice, whatever arrives meanwhile.
func Events(ctx context.Context, v *columns.View, r EventsRequest) (*EventsAnswer, error) {
	found, err := r.newest(ctx, v)
	if err != nil {
		return nil, err
	}
	answer := &EventsAnswer{Events: []*event.Event{}, Definition: r.defined(definition{
		"unit":       "events: each of them, whoever did it",
		"order":      "newest timestamp first; equal ones by batch and place in it",
		"session_id": "as sent, else derived: a new session after 30 minutes without an event of the user",
		"user_id":    "as a parameter: the user's events, those from before the user was known included",
	})}
	if len(found) > r.Limit {
		found = found[:r.Limit]
		next := placeOf(v, found[r.Limit-1]).String()
		answer.NextCursor = &next
	}
	err = raw(ctx, v, found, func(e *event.Event) error {
		answer.Events = append(answer.Events, e)
		return nil
	})
	return answer, err
}

// newest are the first rows of the answer, one more than the limit if there are
// so many. Days are opened one by one, the last first, until there are enough.
func (r *EventsRequest) newest(ctx context.Context, v *columns.View) ([]found, error) {
	to := r.To
	if r.after != nil {
		to = min(to, r.after.at)
	}
	top := newest{view: v, limit: r.Limit + 1, only: r.EventType, after: r.after}
	if r.UserID != "" {
		user, known := v.UserNumber(r.UserID)
		if !known {
			return nil, nil
		}
		top.user = &user
	}
	starts := v.Starts(r.From, to)
	for i := len(starts) - 1; i >= 0 && len(top.rows) < top.limit; i-- {
		part, err := r.during(starts[i], starts[i]+day-1).open(ctx, v, listed)
		if err != nil {
			return nil, err
		}
		top.addDay(part.days[0], part.passing(0))
		top.cut()
	}
	return top.rows, nil
}

// listed is what rows need to be shown: where the raw events are, and their sessions.
var listed = columns.Needs{Sessions: true, Refs: true}

// found is a row of a day.
type found struct {
	day *columns.Day
	row uint32
	at  event.Time
}

// newest keeps the newest rows that it is given, at most limit of them.
type newest struct {
	view  *columns.View
	limit int
	only  string  // event type; empty: all
	user  *uint32 // nil: all
	after *place  // rows before this place only
	rows  []found
	floor event.Time // older rows are not among the newest any more
}

func (n *newest) addDay(d *columns.Day, keep passing) {
	n.floor = d.Start()
	users := d.Users()
	for _, run := range d.Runs() {
		if n.only != "" && run.Type != n.only {
			continue
		}
		for row := run.Lo; row < run.Hi; row++ {
			if keep.has(row) && (n.user == nil || users[row] == *n.user) {
				n.add(found{d, uint32(row), timeOf(d, row)})
			}
		}
	}
}

func (n *newest) add(f found) {
	if f.at < n.floor || (n.after != nil && !placeOf(n.view, f).before(*n.after)) {
		return
	}
	n.rows = append(n.rows, f)
	if len(n.rows) >= 2*n.limit+100 {
		n.cut()
		n.floor = n.rows[n.limit-1].at
	}
}

// cut leaves the newest rows, newest first.
func (n *newest) cut() {
	slices.SortFunc(n.rows, func(a, b found) int {
		if a.at != b.at {
			return cmp.Compare(b.at, a.at)
		}
		return placeOf(n.view, b).compare(placeOf(n.view, a))
	})
	n.rows = n.rows[:min(len(n.rows), n.limit)]
}

// raw calls yield for the raw events of rows, in their order, with the session
// that they count for.
func raw(ctx context.Context, v *columns.View, rows []found, yield func(*event.Event) error) error {
	refs := make([]columns.Ref, len(rows))
	for i, f := range rows {
		refs[i] = f.day.Ref(f.row)
	}
	next := 0
	return v.Events(ctx, refs, func(e *event.Event) error {
		// An event that was erased meanwhile is left out: its row is passed over.
		for v.BatchID(refs[next].Batch) != e.BatchID || int(refs[next].Position) != e.Position {
			next++
		}
		shown := *e
		if shown.SessionID == "" {
			shown.SessionID = v.SessionName(rows[next].day.Sessions().At(int(rows[next].row)))
		}
		next++
		return yield(&shown)
	})
}

// place is where an event stands in the order of a listing.
type place struct {
	at       event.Time
	batch    string
	position int
}

func placeOf(v *columns.View, f found) place {
	ref := f.day.Ref(f.row)
	return place{f.at, v.BatchID(ref.Batch), int(ref.Position)}
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.at, q.at), cmp.Compare(p.batch, q.batch), cmp.Compare(p.position, q.position))
}

func (p place) before(q place) bool { return p.compare(q) < 0 }

// String is the place as a cursor.
func (p place) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(decimal(p.at) + "." + decimal(p.position) + "." + p.batch))
}

// parsePlace reads a cursor; nil means that it is none.
func parsePlace(cursor string) *place {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	parts := strings.SplitN(string(text), ".", 3)
	if err != nil || len(parts) != 3 {
		return nil
	}
	at, err1 := strconv.ParseInt(parts[0], 10, 64)
	position, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return nil
	}
	return &place{event.Time(at), parts[2], position}
}
