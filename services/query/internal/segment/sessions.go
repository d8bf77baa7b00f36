package segment

import "fmt"

// Sessions are the sessions that clients named. Those that are derived from
// pauses are not in here: they depend on whose user an identity is.
type Sessions struct {
	IDs Names
	Of  []uint32 // by row: an index into IDs, or NoSession
}

// NoSession is for rows to which the client gave no session id.
const NoSession = ^uint32(0)

// Rows are gone through identity by identity in the order of time, where most
// rows have the session of the row before. What is expected of a row is known
// from the pause before it; only where it comes otherwise something is written.
const (
	sameSession  = iota // as the identity's row before
	freshSession        // the next that no row had before
	noneSession         // has none, and the row before had one
	otherSession        // any of those that rows had before
)

// pauses, in minutes, are what may be expected to end a session.
var pauses = [...]byte{0, 5, 10, 15, 20, 30, 60, 120}

// expectation guesses what comes, from what came.
type expectation struct {
	pause uint32 // longer ones end a session; 0: none does
	none  bool   // the row before, of whomever, had no session
}

func (e *expectation) of(first bool, gap, before uint32) byte {
	switch {
	case first && e.none:
		return sameSession // as if the row before the first had none either
	case first, before != NoSession && e.pause > 0 && gap > e.pause:
		return freshSession
	}
	return sameSession
}

// SealSessions makes the part with the sessions of the base's rows.
func (b *Base) SealSessions(s *Sessions) ([]byte, error) {
	if len(s.Of) != len(b.Times) {
		return nil, fmt.Errorf("seal %s of day %d of %q: %d rows, the base has %d", SessionsName, b.Day.Number, b.Day.Project, len(s.Of), len(b.Times))
	}
	for row, session := range s.Of {
		if session != NoSession && int(session) >= s.IDs.Len() {
			return nil, fmt.Errorf("seal %s of day %d of %q: row %d has session %d of %d", SessionsName, b.Day.Number, b.Day.Project, row, session, s.IDs.Len())
		}
	}
	w := &writer{}
	w.sessions(b, s)
	return Seal(b.Day, SessionsName, w.body()), nil
}

func (w *writer) sessions(b *Base, s *Sessions) {
	came, others, order := b.sessionsCame(s)
	ids := Names{}
	for _, session := range order {
		ids.packed = append(ids.packed, s.IDs.Packed(int(session))...)
		ids.ends = append(ids.ends, uint32(len(ids.packed)))
	}
	pause, surprises := b.leastSurprises(came)
	w.b = append(w.b, pause)
	w.stream(surprises)
	w.uvarint(uint64(len(others)))
	writeInts(w, others)
	w.names(&ids, 0, ids.Len(), false)
}

// sessionsCame is what came row by row, the distances of other sessions, and the sessions as they first came.
func (b *Base) sessionsCame(s *Sessions) (came []byte, others, order []uint32) {
	came = make([]byte, 0, len(s.Of))
	number := make([]uint32, s.IDs.Len()) // by session: its place in order, from 1
	b.eachVisit(func(row uint32, first bool, _ uint32, before uint32) {
		session, last := s.Of[row], NoSession
		if !first {
			last = s.Of[before]
		}
		switch {
		case session == last:
			came = append(came, sameSession)
		case session == NoSession:
			came = append(came, noneSession)
		case number[session] == 0:
			order = append(order, session)
			number[session] = uint32(len(order))
			came = append(came, freshSession)
		default:
			others = append(others, uint32(len(order))-number[session])
			came = append(came, otherSession)
		}
	})
	return came, others, order
}

// eachVisit goes through the rows by identity and time. before is the row
// before and gap the time since, unless it is the identity's first.
func (b *Base) eachVisit(visit func(row uint32, first bool, gap, before uint32)) {
	before := uint32(0)
	for i, row := range b.byIdentity().rows {
		if i == 0 || b.Identity[row] != b.Identity[before] {
			visit(row, true, 0, before)
		} else {
			visit(row, false, b.Times[row]-b.Times[before], before)
		}
		before = row
	}
}

// leastSurprises finds the pause that foretells best, and packs what came
// against expectation, four rows to a byte.
func (b *Base) leastSurprises(came []byte) (pause byte, packed []byte) {
	least := len(came) + 1
	for _, p := range pauses {
		surprises := b.surprises(came, p)
		n := 0
		for _, s := range surprises {
			if s != 0 {
				n++
			}
		}
		if n < least {
			least, pause, packed = n, p, surprises
		}
	}
	return pause, packed
}

func (b *Base) surprises(came []byte, pause byte) []byte {
	packed := make([]byte, (len(came)+3)/4)
	e := expectation{pause: uint32(pause) * 60_000}
	i, last := 0, NoSession // which session it was does not matter here, only whether one
	b.eachVisit(func(_ uint32, first bool, gap, _ uint32) {
		if first {
			last = NoSession
		}
		packed[i/4] |= (came[i] ^ e.of(first, gap, last)) << (i % 4 * 2)
		if came[i] != sameSession {
			last = 0
			if came[i] == noneSession {
				last = NoSession
			}
		}
		e.none = last == NoSession
		i++
	})
	return packed
}

// Sessions reads the sessions of the base's rows.
func (p *Part) Sessions(b *Base) (*Sessions, error) {
	r, err := p.beside(b, SessionsName)
	if err != nil {
		return nil, err
	}
	s := &Sessions{Of: make([]uint32, len(b.Times))}
	e := expectation{pause: uint32(r.byte()) * 60_000}
	surprises := r.stream((len(s.Of) + 3) / 4)
	others := readInts[uint32](r, int(r.uvarint(uint64(len(s.Of)))), maxRows)
	count := r.sessions(b, s.Of, &e, surprises, others)
	s.IDs = r.names(count, false)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("%s of day %d of %q: %w", SessionsName, b.Day.Number, b.Day.Project, err)
	}
	return s, nil
}

// sessions gives each row its session, and says how many there are.
func (r *reader) sessions(b *Base, of []uint32, e *expectation, surprises []byte, others []uint32) (count int) {
	if r.err != nil {
		return 0
	}
	i, last := 0, NoSession
	b.eachVisit(func(row uint32, first bool, gap, _ uint32) {
		if first {
			last = NoSession
		}
		switch surprises[i/4]>>(i%4*2)&3 ^ e.of(first, gap, last) {
		case freshSession:
			last = uint32(count)
			count++
		case noneSession:
			last = NoSession
		case otherSession:
			if len(others) == 0 || int(others[0]) >= count {
				r.fail("a row has a session that no row had before")
				others = []uint32{0}
				count = max(count, 1)
			}
			last = uint32(count-1) - others[0]
			others = others[1:]
		}
		of[row] = last
		e.none = last == NoSession
		i++
	})
	if len(others) > 0 {
		r.fail("%d sessions of no row", len(others))
	}
	return count
}
