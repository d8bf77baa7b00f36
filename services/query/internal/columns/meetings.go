package columns

import (
	"context"
	"fmt"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// meeting is what is known of an anonymous id and a user who were seen together.
type meeting struct {
	at    event.Time // of the earliest event of both
	event uint32     // that event's id, a place in evidence: it decides between equal times
	user  uint32
}

// meet notes that an anonymous id was seen with a user, in an event of that
// time and id. The earliest user is theirs; others are remembered for the day
// on which that one is erased.
func (p *people) meet(anonymous string, user uint32, at event.Time, id string) {
	p.scratch = pack(p.scratch[:0], anonymous)
	v := p.visitorNumber()
	s := &p.sightings[v]
	others := p.others[v]
	known := slices.IndexFunc(others, func(m meeting) bool { return m.user == user })
	switch {
	case s.user == none || p.earlier(at, id, s.meeting):
		if s.user != none && s.user != user {
			others = append(others, s.meeting)
		}
		s.meeting = p.meetingOf(user, at, id)
		if known >= 0 {
			others = slices.Delete(others, known, known+1)
		}
		p.move(v, user)
	case s.user == user:
		return
	case known < 0:
		others = append(others, p.meetingOf(user, at, id))
	case p.earlier(at, id, others[known]):
		others[known] = p.meetingOf(user, at, id)
	}
	if len(others) > 0 || len(p.others[v]) > 0 {
		p.others[v] = others
	}
}

func (p *people) meetingOf(user uint32, at event.Time, id string) meeting {
	p.scratch = pack(p.scratch[:0], id)
	return meeting{at, p.evidence.keep(p.scratch), user}
}

func (p *people) earlier(at event.Time, id string, than meeting) bool {
	if at != than.at {
		return at < than.at
	}
	return id < unpack(p.evidence.read(than.event))
}

// forget takes back the meetings that nothing but erased events tells of.
func (p *people) forget(events []string) {
	erased := make(map[string]bool, len(events))
	for _, id := range events {
		erased[string(pack(nil, id))] = true
	}
	gone := func(m meeting) bool {
		if !erased[string(p.evidence.read(m.event))] {
			return false
		}
		p.bereft = append(p.bereft, m.user)
		return true
	}
	for v := range p.others {
		if p.others[v] = slices.DeleteFunc(p.others[v], gone); len(p.others[v]) == 0 {
			delete(p.others, v)
		}
	}
	for v := range p.sightings {
		if s := &p.sightings[v]; s.user != none && gone(s.meeting) {
			p.part(uint32(v), s)
		}
	}
}

// part gives a visitor to whom they met next, else to themselves.
func (p *people) part(v uint32, s *sighting) {
	others := p.others[v]
	if len(others) > 0 {
		next := 0
		for i := range others {
			if p.earlier(others[i].at, unpack(p.evidence.read(others[i].event)), others[next]) {
				next = i
			}
		}
		s.meeting = others[next]
		p.others[v] = slices.Delete(others, next, next+1)
		p.move(v, s.user)
		return
	}
	s.meeting = meeting{user: none}
	if same, ok := p.identities.lookup(p.visitors.at(v)); ok {
		p.move(v, same)
	} else if s.identity != none {
		p.move(v, s.identity)
	}
}

// rejoin looks for later meetings of users of whom some were forgotten, among
// the events that they have left, and says anew which event is the newest.
// Nothing may be added meanwhile.
func (t *Table) rejoin(ctx context.Context) error {
	t.mu.Lock()
	users := t.people.bereft
	if !t.lessened && len(users) == 0 {
		t.mu.Unlock()
		return nil
	}
	t.merge()
	t.batches.show()
	v := t.now()
	t.mu.Unlock()
	newest, err := v.newest(ctx)
	if err != nil {
		return err
	}
	slices.Sort(users)
	met, err := v.meetings(ctx, slices.Compact(users))
	if err != nil {
		return fmt.Errorf("look for whom visitors met besides: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range met {
		t.people.meet(met[i].AnonymousID, t.people.named(met[i].UserID), met[i].Timestamp, met[i].EventID)
	}
	t.people.bereft, t.lessened, t.newest = nil, false, newest
	t.stale.Store(true)
	return nil
}

// newest is the largest timestamp; zero when there is no event.
func (v *View) newest(ctx context.Context) (event.Time, error) {
	for _, e := range slices.Backward(v.days) {
		if e.Len() == 0 {
			continue
		}
		days, err := v.Open(ctx, e.Start(), e.Start(), Needs{})
		if err != nil {
			return 0, err
		}
		return e.Start() + event.Time(slices.Max(days[0].Times())), nil
	}
	return 0, nil
}

// meetings are the events of these users that have an anonymous id as well.
func (v *View) meetings(ctx context.Context, users []uint32) (met []event.Event, err error) {
	if len(users) == 0 {
		return nil, nil
	}
	for _, e := range v.days {
		days, err := v.Open(ctx, e.Start(), e.Start(), Needs{})
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(users, days[0].HasUser) {
			continue
		}
		if days, err = v.Open(ctx, e.Start(), e.Start(), Needs{Refs: true}); err != nil {
			return nil, err
		}
		var refs []Ref
		for _, user := range users {
			for _, row := range days[0].RowsOfUser(user) {
				refs = append(refs, days[0].Ref(row))
			}
		}
		if err := v.Events(ctx, refs, func(e *event.Event) error {
			if e.UserID != "" && e.AnonymousID != "" {
				met = append(met, event.Event{UserID: e.UserID, AnonymousID: e.AnonymousID, Timestamp: e.Timestamp, EventID: e.EventID})
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return met, nil
}
