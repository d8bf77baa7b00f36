package columns

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// idle is the pause after which events without a session id belong to a new session.
const idle = 30 * 60 * 1000

// sessions numbers sessions: the clients' own, by their ids, and derived ones,
// by user and start.
type sessions struct {
	names   *names
	derived bitset // by session
	scratch []byte
}

func newSessions() *sessions { return &sessions{names: newNames()} }

// sent is the number of a client's session, or none where it sent none.
func (s *sessions) sent(id string) uint32 {
	if id == "" {
		return none
	}
	s.scratch = pack(s.scratch[:0], id)
	number, _ := s.names.number(s.scratch)
	return number
}

// started is the number of the user's derived session with that start.
func (s *sessions) started(user uint32, at event.Time) uint32 {
	s.scratch = append(s.scratch[:0], derived)
	s.scratch = binary.BigEndian.AppendUint32(s.scratch, user)
	s.scratch = binary.BigEndian.AppendUint64(s.scratch, uint64(at))
	number, fresh := s.names.number(s.scratch)
	if fresh {
		s.derived.add(number)
	}
	return number
}

// isDerived says so of sessions still to be derived, too.
func (s *sessions) isDerived(session uint32) bool {
	return session == none || s.derived.has(session)
}

// ongoing is a derived session that may go on after midnight.
type ongoing struct {
	user    uint32
	last    uint32 // time of its last event
	session uint32
}

// derive gives the touched users' rows without a client's session their
// sessions: a pause of more than 30 minutes starts a new one, and one that
// went on at the end of the day before goes on here. It returns the users
// whose rows of the next day must be looked at again.
func (s *sessions) derive(d, before *edition, touched bitset) (changed []uint32) {
	was := d.ongoing
	d.ongoing = slices.DeleteFunc(slices.Clone(was), func(o ongoing) bool { return touched.has(o.user) })
	rows := s.derivedRows(d, touched)
	for len(rows) > 0 {
		user := d.users[rows[0].row]
		end := slices.IndexFunc(rows, func(k keyed) bool { return d.users[k.row] != user })
		if end < 0 {
			end = len(rows)
		}
		if o := s.deriveUser(d, rows[:end], before.goingOn(user)); o.last >= uint32(dayLength)-idle {
			d.ongoing = append(d.ongoing, o)
		}
		rows = rows[end:]
	}
	slices.SortFunc(d.ongoing, func(a, b ongoing) int { return cmp.Compare(a.user, b.user) })
	return differing(was, d.ongoing)
}

// derivedRows are the touched users' rows without a client's session, by user and time.
func (s *sessions) derivedRows(d *edition, touched bitset) []keyed {
	var rows []keyed
	for i, user := range d.users {
		if touched.has(user) && s.isDerived(d.sessions[i]) {
			rows = append(rows, keyed{userTime(user, d.times[i]), uint32(i)})
		}
	}
	return sortKeyed(rows)
}

// deriveUser cuts one user's rows into sessions. from is the session that was
// going on at midnight; its last is counted from this day's start.
func (s *sessions) deriveUser(d *edition, rows []keyed, from *ongoing) ongoing {
	o := ongoing{user: d.users[rows[0].row], session: none}
	last := int64(0)
	if from != nil {
		o.session, last = from.session, int64(from.last)-int64(dayLength)
	}
	for _, k := range rows {
		at := int64(d.times[k.row])
		if o.session == none || at-last > idle {
			o.session = s.started(o.user, d.Start()+event.Time(at))
		}
		last = at
		d.sessions[k.row] = o.session
	}
	o.last = uint32(last)
	return o
}

// goingOn is the user's derived session that may go on after this day's end, or nil.
func (d *edition) goingOn(user uint32) *ongoing {
	if d == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(d.ongoing, user, func(o ongoing, user uint32) int { return cmp.Compare(o.user, user) })
	if !found {
		return nil
	}
	return &d.ongoing[i]
}

// differing are the users whose entries differ between two lists in the order of users.
func differing(was, is []ongoing) (users []uint32) {
	for len(was) > 0 || len(is) > 0 {
		switch {
		case len(is) == 0 || len(was) > 0 && was[0].user < is[0].user:
			users = append(users, was[0].user)
			was = was[1:]
		case len(was) == 0 || is[0].user < was[0].user:
			users = append(users, is[0].user)
			is = is[1:]
		default:
			if was[0] != is[0] {
				users = append(users, is[0].user)
			}
			was, is = was[1:], is[1:]
		}
	}
	return users
}

// starts says whether one of these users has a row without a client's session
// so early in the day that a session of the day before may reach it.
func (s *sessions) starts(d *edition, users []uint32) bool {
	if len(users) == 0 {
		return false
	}
	var touched bitset
	for _, user := range users {
		touched.add(user)
	}
	for i, at := range d.times {
		if at < idle && touched.has(d.users[i]) && s.isDerived(d.sessions[i]) {
			return true
		}
	}
	return false
}
