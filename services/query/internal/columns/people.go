package columns

import (
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/segment"
)

// none is the number of nobody and nothing.
const none = ^uint32(0)

// people tells the user of an event: its user_id; else the user that its
// anonymous_id was first seen with; else the anonymous_id; else the
// session_id; else the event's own id, so that events without any id do not
// become one person.
//
// Two things are numbered. An identity is what an event says of itself: a name
// (user, session or event id), or an anonymous id. Its user is the identity of
// the name that counts: a name is its own user, an anonymous identity becomes
// another's as soon as that is known. Rows remember the identity, so that a
// day can be put in order again when the user of one changes.
type people struct {
	identities *names   // names packed; anonymous ids packed behind the byte "anonymous"
	users      []uint32 // by identity
	shared     bool     // a View reads users: copy before a change

	visitors  *names               // anonymous ids, packed
	sightings []sighting           // by visitor
	evidence  *names               // ids of the events that joined visitors
	others    map[uint32][]meeting // by visitor: with users whom they met after the one of the sighting
	bereft    []uint32             // users of meetings that were forgotten: they may have later ones

	moved   []move // since takeMoved
	scratch []byte
}

// sighting is what is known of one anonymous id.
type sighting struct {
	meeting            // the earliest; its user is none if there is none
	identity    uint32 // of the events that have the anonymous id alone, or none
	first, last int32  // the days on which there are such events
}

func newPeople() *people {
	return &people{identities: newNames(), visitors: newNames(), evidence: newNames(), others: make(map[uint32][]meeting)}
}

// identify is the event's identity, and takes note of what the event says
// about its anonymous id.
func (p *people) identify(e *event.Event) uint32 {
	switch {
	case e.UserID != "":
		user := p.named(e.UserID)
		if e.AnonymousID != "" {
			p.meet(e.AnonymousID, user, e.Timestamp, e.EventID)
		}
		return user
	case e.AnonymousID != "":
		p.scratch = pack(p.scratch[:0], e.AnonymousID)
		return p.visitor(e.Timestamp.Day())
	case e.SessionID != "":
		return p.named(e.SessionID)
	}
	return p.named(e.EventID)
}

// named is the identity of a user, session or event id.
func (p *people) named(name string) uint32 {
	p.scratch = pack(p.scratch[:0], name)
	return p.name()
}

// name is the identity of the name in scratch.
func (p *people) name() uint32 {
	identity, fresh := p.identities.number(p.scratch)
	if fresh {
		p.users = append(p.users, identity)
		p.claim(identity)
	}
	return identity
}

// claim makes the anonymous id that is written like a new name the same user.
func (p *people) claim(identity uint32) {
	if v, ok := p.visitors.lookup(p.scratch); ok && p.sightings[v].user == none {
		p.move(v, identity)
	}
}

// visitor is the identity of events that have the anonymous id in scratch alone.
func (p *people) visitor(day int32) uint32 {
	v := p.visitorNumber()
	s := &p.sightings[v]
	if s.identity == none {
		s.identity = p.newVisitor(s.user)
		s.first, s.last = day, day
	}
	s.first, s.last = min(s.first, day), max(s.last, day)
	return s.identity
}

// newVisitor makes the identity of the anonymous id in scratch.
func (p *people) newVisitor(user uint32) uint32 {
	if user == none {
		if same, ok := p.identities.lookup(p.scratch); ok {
			user = same
		}
	}
	p.scratch = slices.Insert(p.scratch, 0, anonymous)
	identity, _ := p.identities.number(p.scratch)
	if user == none {
		user = identity
	}
	p.users = append(p.users, user)
	return identity
}

// visitorNumber is the number of the anonymous id in scratch.
func (p *people) visitorNumber() uint32 {
	v, fresh := p.visitors.number(p.scratch)
	if fresh {
		p.sightings = append(p.sightings, sighting{meeting: meeting{user: none}, identity: none})
	}
	return v
}

// register makes known whom a sealed day names and who met whom on it. It
// returns the numbers of its identities.
func (p *people) register(b *segment.Base) (numbers []uint32) {
	numbers = make([]uint32, b.Identities.Len())
	for i := range b.Identities.Len() {
		p.scratch = append(p.scratch[:0], b.Identities.Packed(i)...)
		if i < b.Anonymous {
			numbers[i] = p.name()
		} else {
			numbers[i] = p.visitor(b.Day.Number)
		}
	}
	for _, m := range b.Meetings {
		p.meet(m.Anonymous, numbers[m.User], b.Day.Start()+event.Time(m.Time), m.EventID)
	}
	return numbers
}

// move gives the visitor's identity to a user.
func (p *people) move(v, user uint32) {
	identity := p.sightings[v].identity
	if identity == none || p.users[identity] == user {
		return
	}
	if p.shared {
		p.users, p.shared = slices.Clone(p.users), false
	}
	p.moved = append(p.moved, move{v, p.users[identity]})
	p.users[identity] = user
}

// move is a visitor whose identity got another user.
type move struct{ visitor, from uint32 }

// moves are identities whose rows may stand under a user that they no longer have.
type moves struct {
	identities bitset
	spans      []span
}

// span is the days on which there may be rows of an identity under the user that it had.
type span struct {
	first, last int32
	user        uint32
}

func (p *people) takeMoved() moves {
	var m moves
	for _, v := range p.moved {
		s := p.sightings[v.visitor]
		m.identities.add(s.identity)
		m.spans = append(m.spans, span{s.first, s.last, v.from})
	}
	p.moved = p.moved[:0]
	return m
}

// touch says whether rows of the day may be meant.
func (m *moves) touch(day int32) bool {
	return slices.ContainsFunc(m.spans, func(s span) bool { return s.first <= day && day <= s.last })
}

// find is the identity or user that is called so, among those below limit: a
// View knows no later ones.
func (p *people) find(name string, limit int) (uint32, bool) {
	text := pack(nil, name)
	candidates := []uint32{none, none, none}
	if n, ok := p.identities.lookup(text); ok {
		candidates[0] = n
	}
	if v, ok := p.visitors.lookup(text); ok {
		candidates[1], candidates[2] = p.sightings[v].identity, p.sightings[v].user
	}
	for _, n := range candidates {
		if int(n) < limit {
			return n, true
		}
	}
	return 0, false
}
