package report

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// ProfileRequest asks for one user: everything, or what happened in a range.
type ProfileRequest struct {
	Common
	ID     string `json:"id"`
	Limit  int    `json:"limit"` // sessions
	Cursor string `json:"cursor,omitempty"`

	whole bool // no range was given
	after *place
}

// ProfileAnswer is one user.
type ProfileAnswer struct {
	UserID        string       `json:"user_id"`
	UserIDs       []string     `json:"user_ids"`
	AnonymousIDs  []string     `json:"anonymous_ids"`
	IDsComplete   bool         `json:"ids_complete"`
	FirstSeen     event.Time   `json:"first_seen"`
	LastSeen      event.Time   `json:"last_seen"`
	TotalEvents   int          `json:"total_events"`
	TotalSessions int          `json:"total_sessions"`
	ByType        []TypeCount  `json:"by_type"`
	Latest        *event.Event `json:"latest"`
	Sessions      []Session    `json:"sessions"`
	NextCursor    *string      `json:"next_cursor"`
	Definition    definition   `json:"definition"`
}

// TypeCount is how often one user did something.
type TypeCount struct {
	EventType string `json:"event_type"`
	Count     int    `json:"count"`
}

// Session is one session of a user with its events in order.
type Session struct {
	SessionID   string         `json:"session_id"`
	StartedAt   event.Time     `json:"started_at"`
	EndedAt     event.Time     `json:"ended_at"`
	Duration    float64        `json:"duration"` // seconds
	TotalEvents int            `json:"total_events"`
	Events      []*event.Event `json:"events"`
}

const (
	maxSessionEvents = 1000   // shown of one session
	maxProfileEvents = 5000   // shown in one answer
	maxIdentified    = 10_000 // events read to find the ids of a user
)

// ReadProfile reads the request. Without a range, the user's whole history is meant.
func ReadProfile(p *Params, env Env) (ProfileRequest, error) {
	r := ProfileRequest{
		whole:  !p.Has("from") && !p.Has("to") && !p.Has("days"),
		Common: p.Range(env),
		ID:     p.Required("id", "the user's id, or an anonymous id of theirs"),
		Limit:  p.Int("limit", 20, 1, 100),
		Cursor: p.String("cursor", ""),
	}
	if r.whole {
		r.From, r.To = 0, 0 // written as null
	}
	if r.Cursor != "" {
		if r.after = parsePlace(r.Cursor); r.after == nil {
			p.Fail("cursor", "must be the next_cursor of an earlier answer, got %q", r.Cursor)
		}
	}
	return r, p.Done()
}

// Complete is false of a user's whole history: it goes on.
func (r ProfileRequest) Complete() bool { return !r.whole && r.Common.Complete() }

// span says the range in words.
func (r *ProfileRequest) span() string {
	if r.whole {
		return "the whole history"
	}
	return r.definition().Range
}

// Profile is one user, with the newest sessions first.
func Profile(ctx context.Context, v *columns.View, r ProfileRequest) (*ProfileAnswer, error) {
	unknown := fault.New(fault.NotFound, "unknown_user", "there is no user %q in this project", r.ID)
	user, known := v.UserNumber(r.ID)
	if !known {
		return nil, unknown
	}
	if r.whole {
		r.From, r.To = math.MinInt32*day, math.MaxInt32*day
	}
	rows, err := r.rowsOf(ctx, v, user)
	if err != nil {
		return nil, err
	}
	if len(rows.list) == 0 {
		switch known, err := hasEvents(ctx, v, user); {
		case err != nil:
			return nil, err
		case !known: // the number of one who was erased stays until the next start
			return nil, unknown
		}
	}
	answer := &ProfileAnswer{
		UserID: v.UserName(user), UserIDs: []string{}, AnonymousIDs: []string{}, ByType: rows.byType(),
		TotalEvents: len(rows.list), Sessions: []Session{}, Definition: r.defined(definition{
			"range":    r.span(),
			"unit":     "the events and sessions of one user",
			"user":     "whoever this id, or the user that this anonymous id was first seen with, stands for; events from before that included",
			"ids":      "user_ids and anonymous_ids that these events carry; ids_complete is false when there are more than 10,000 events, and then they are those of the newest 10,000",
			"latest":   "the newest event",
			"sessions": "newest first, with their events in order, at most 1,000 of a session; where the client sent no id, a new one after 30 minutes without an event",
		}),
	}
	if len(rows.list) == 0 {
		answer.IDsComplete = true
		return answer, nil
	}
	answer.FirstSeen, answer.LastSeen = rows.list[0].at, rows.list[len(rows.list)-1].at
	if err := answer.identify(ctx, v, rows.list); err != nil {
		return nil, err
	}
	return answer, r.addSessions(ctx, v, rows, answer)
}

// hasEvents says whether the user has any at all.
func hasEvents(ctx context.Context, v *columns.View, user uint32) (bool, error) {
	for _, start := range v.Starts(math.MinInt64, math.MaxInt64) {
		days, err := v.Open(ctx, start, start, columns.Needs{})
		if err != nil || days[0].HasUser(user) {
			return err == nil, err
		}
	}
	return false, nil
}

// userRows are a user's rows in the order of time.
type userRows struct {
	list  []found
	types map[string]int
}

func (r *ProfileRequest) rowsOf(ctx context.Context, v *columns.View, user uint32) (*userRows, error) {
	rows := &userRows{types: map[string]int{}}
	for _, start := range v.Starts(r.From, r.To) {
		days, err := v.Open(ctx, start, start, columns.Needs{})
		if err != nil {
			return nil, err
		}
		if !days[0].HasUser(user) {
			continue
		}
		part, err := r.during(start, start+day-1).open(ctx, v, listed)
		if err != nil {
			return nil, err
		}
		d, keep := part.days[0], part.passing(0)
		for _, row := range d.RowsOfUser(user) {
			if keep.has(int(row)) {
				if len(rows.list) == r.Limits.Rows {
					return nil, exceeded("too_many_events", "the user has more than %d events; ask for a range", r.Limits.Rows)
				}
				rows.list = append(rows.list, found{d, row, timeOf(d, int(row))})
				rows.types[typeOf(d, row)]++
			}
		}
	}
	return rows, ctx.Err()
}

// typeOf is the event type of a row.
func typeOf(d *columns.Day, row uint32) string {
	runs := d.Runs()
	i, _ := slices.BinarySearchFunc(runs, int(row), func(run columns.Run, row int) int { return cmp.Compare(run.Hi, row+1) })
	return runs[i].Type
}

func (u *userRows) byType() []TypeCount {
	counts := make([]TypeCount, 0, len(u.types))
	for name, n := range u.types {
		counts = append(counts, TypeCount{name, n})
	}
	slices.SortFunc(counts, func(a, b TypeCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.EventType, b.EventType))
	})
	return counts
}

// identify collects the ids under which the user is known, from the raw events.
func (a *ProfileAnswer) identify(ctx context.Context, v *columns.View, rows []found) error {
	users, anonymous := map[string]bool{}, map[string]bool{}
	err := raw(ctx, v, rows[max(0, len(rows)-maxIdentified):], func(e *event.Event) error {
		users[e.UserID] = true
		anonymous[e.AnonymousID] = true
		a.Latest = e
		return nil
	})
	a.UserIDs, a.AnonymousIDs, a.IDsComplete = sortedIDs(users), sortedIDs(anonymous), len(rows) <= maxIdentified
	return err
}

func sortedIDs(ids map[string]bool) []string {
	list := make([]string, 0, len(ids))
	for id := range ids {
		if id != "" {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// addSessions fills a page of sessions with their events.
func (r *ProfileRequest) addSessions(ctx context.Context, v *columns.View, rows *userRows, a *ProfileAnswer) error {
	sessions := sessionsOf(v, rows.list)
	a.TotalSessions = len(sessions)
	if r.after != nil {
		sessions = slices.DeleteFunc(sessions, func(s userSession) bool { return !s.place().before(*r.after) })
	}
	shown := 0
	for i, s := range sessions {
		if i == r.Limit || shown >= maxProfileEvents {
			next := sessions[i-1].place().String()
			a.NextCursor = &next
			break
		}
		session, err := s.show(ctx, v)
		if err != nil {
			return err
		}
		shown += len(session.Events)
		a.Sessions = append(a.Sessions, session)
	}
	return nil
}

// userSession is the rows of one session, in the order of time.
type userSession struct {
	name string
	rows []found
}

// sessionsOf cuts a user's rows into sessions, newest first.
func sessionsOf(v *columns.View, rows []found) []userSession {
	var sessions []userSession
	index := map[uint32]int{}
	for _, f := range rows {
		number := f.day.Sessions().At(int(f.row))
		i, known := index[number]
		if !known {
			i = len(sessions)
			index[number] = i
			sessions = append(sessions, userSession{name: v.SessionName(number)})
		}
		sessions[i].rows = append(sessions[i].rows, f)
	}
	slices.SortFunc(sessions, func(a, b userSession) int { return b.place().compare(a.place()) })
	return sessions
}

// place is where a session stands in the order of sessions.
func (s *userSession) place() place { return place{at: s.rows[0].at, batch: s.name} }

func (s *userSession) show(ctx context.Context, v *columns.View) (Session, error) {
	started, ended := s.rows[0].at, s.rows[len(s.rows)-1].at
	session := Session{
		SessionID: s.name, StartedAt: started, EndedAt: ended, Duration: float64(ended-started) / 1000,
		TotalEvents: len(s.rows), Events: []*event.Event{},
	}
	err := raw(ctx, v, first(s.rows, maxSessionEvents), func(e *event.Event) error {
		session.Events = append(session.Events, e)
		return nil
	})
	return session, err
}
