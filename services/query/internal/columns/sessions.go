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
	user  uint32
	last  uint32 // time of its last event
	start event.Time
}

// derive gives the touched users' rows without a client's session their
// sessions: a pause of more than 30 minutes starts a new one, and one that
// went on at the end of the day before goes on here. It returns the users
// whose rows of the next day must be looked at again.
func (s *sessions) derive(d, before *edition, touched bitset) (changed []uint32) {
	was := d.ongoing
	d.ongoing = slices.DeleteFunc(slices.Clone(was), func(o ongoing) bool { return touched.has(o.user) })
	rows := d.nameless(func(row int) bool { return touched.has(d.users[row]) && s.isDerived(d.sessions[row]) })
	d.ongoing = append(d.ongoing, d.cut(d.Start(), rows, before, func(user uint32, start event.Time, rows []keyed) {
		session := s.started(user, start)
		for _, k := range rows {
			d.sessions[k.row] = session
		}
	})...)
	slices.SortFunc(d.ongoing, func(a, b ongoing) int { return cmp.Compare(a.user, b.user) })
	return differing(was, d.ongoing)
}

// nameless are the rows that are meant, by user and time.
func (d *core) nameless(meant func(row int) bool) []keyed {
	var rows []keyed
	for i, user := range d.users {
		if meant(i) {
			rows = append(rows, keyed{userTime(user, d.times[i]), uint32(i)})
		}
	}
	return sortKeyed(rows)
}

// cut parts rows without a client's session, by user and time, into sessions
// and yields each. It returns those that may go on after midnight, by user.
func (d *core) cut(midnight event.Time, rows []keyed, before *edition, yield func(user uint32, start event.Time, rows []keyed)) (goingOn []ongoing) {
	user := none
	for len(rows) > 0 {
		first := rows[0].row
		last, start := int64(d.times[first]), midnight+event.Time(d.times[first])
		if d.users[first] != user {
			user = d.users[first]
			if o := before.goingOn(user); o != nil && last+int64(dayLength)-int64(o.last) <= idle {
				start = o.start
			}
		}
		n := 1
		for ; n < len(rows) && d.users[rows[n].row] == user && int64(d.times[rows[n].row])-last <= idle; n++ {
			last = int64(d.times[rows[n].row])
		}
		yield(user, start, rows[:n])
		if last >= int64(dayLength)-idle {
			goingOn = append(goingOn, ongoing{user, uint32(last), start})
		}
		rows = rows[n:]
	}
	return goingOn
}

// goingOn is the user's derived session that may go on after this day's end, or nil.
func (d *edition) goingOn(user uint32) *ongoing {
	if d == nil {
		return nil
	}
	all := d.goings()
	i, found := slices.BinarySearchFunc(all, user, func(o ongoing, user uint32) int { return cmp.Compare(o.user, user) })
	if !found {
		return nil
	}
	return &all[i]
}

// goings are all that may go on after the day's end.
func (d *edition) goings() []ongoing {
	if d.quiet == nil {
		return d.ongoing
	}
	if known := d.quiet.ongoing.Load(); known != nil {
		return *known
	}
	return nil // nobody relies on it: see knowOngoing
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
