package report

import (
	"context"
	"math/bits"
	"sort"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// userSet is a set of users: bit n%64 of word n/64 for user n. Nil is empty.
type userSet []uint64

func (s userSet) len() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// shared is how many users are in both sets, which are of one length if not empty.
func (s userSet) shared(o userSet) (n int) {
	if len(s) == 0 || len(o) == 0 {
		return 0
	}
	o = o[:len(s)]
	for i, word := range s {
		n += bits.OnesCount64(word & o[i])
	}
	return n
}

// add makes the users of o members; o is empty or as long as s.
func (s userSet) add(o userSet) {
	for i, word := range o {
		s[i] |= word
	}
}

// without are the users of s that are not in o, a set as long.
func (s userSet) without(o userSet) userSet {
	rest := make(userSet, len(s))
	for i, word := range s {
		rest[i] = word &^ o[i]
	}
	return rest
}

// piece is a part of a day that lies in one bucket: the times from lo to hi.
type piece struct {
	day    int // index into the source's days
	lo, hi uint32
	bucket int // -1: before the first one
}

// pieces cuts the source's days, as far as they lie in its range, where buckets start.
func (s *source) pieces(starts []event.Time) []piece {
	var pieces []piece
	for i, d := range s.days {
		first, last, _ := s.inRange(d)
		bucket := sort.Search(len(starts), func(n int) bool { return starts[n] > d.Start()+event.Time(first) })
		for ; bucket < len(starts) && starts[bucket] <= d.Start()+event.Time(last); bucket++ {
			edge := uint32(starts[bucket] - d.Start())
			pieces = append(pieces, piece{i, first, edge - 1, bucket - 1})
			first = edge
		}
		pieces = append(pieces, piece{i, first, last, bucket - 1})
	}
	return pieces
}

// maxSetBytes bounds what the sets of one query take.
const maxSetBytes = 1 << 28

// fitSets says whether that many sets of users are small enough to be made.
func (s *source) fitSets(n int) bool { return n*s.setWords()*8 <= maxSetBytes }

func (s *source) setWords() int { return (s.view.UserCount() + 63) / 64 }

// activeUsers are the users with an event of the selection, by bucket, and those
// with one before the first bucket. They must not be changed: whole days of a
// type are shared by all queries.
func (s *source) activeUsers(ctx context.Context, sel *selection, starts []event.Time) (active []userSet, older userSet, err error) {
	pieces := s.pieces(starts)
	sets := make([]userSet, len(starts)+1)
	err = parallel(ctx, len(sets), func(ctx context.Context, i int) error {
		var err error
		sets[i], err = s.usersOf(ctx, sel, inBucket(pieces, i-1))
		return err
	})
	return sets[1:], sets[0], err
}

// usersOf are the users with an event of the selection in any of the pieces.
func (s *source) usersOf(ctx context.Context, sel *selection, pieces []piece) (userSet, error) {
	if len(pieces) == 1 && sel.match == nil {
		if run, ok := sel.run(s.days[pieces[0].day]); ok {
			return s.days[pieces[0].day].Part(run, pieces[0].lo, pieces[0].hi).Bits(s.setWords()), ctx.Err()
		}
		return nil, ctx.Err()
	}
	var set userSet
	for _, p := range pieces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if set == nil {
			set = make(userSet, s.setWords())
		}
		s.addUsers(set, sel, p)
	}
	return set, ctx.Err()
}

// inBucket are the pieces of one bucket.
func inBucket(pieces []piece, bucket int) []piece {
	lo := sort.Search(len(pieces), func(n int) bool { return pieces[n].bucket >= bucket })
	hi := sort.Search(len(pieces), func(n int) bool { return pieces[n].bucket > bucket })
	return pieces[lo:hi]
}

// countUsers counts the rows of the selections, which have no filters, in the
// pieces, and whose they are.
func (s *source) countUsers(selections []selection, pieces []piece) (rows, users int) {
	var parts []*columns.Part
	for _, p := range pieces {
		for i := range selections {
			if run, ok := selections[i].run(s.days[p.day]); ok {
				parts = append(parts, s.days[p.day].Part(run, p.lo, p.hi))
			}
		}
	}
	if len(parts) == 1 {
		return parts[0].Rows, parts[0].Users
	}
	var set userSet
	for _, part := range parts {
		if set == nil {
			set = make(userSet, s.setWords())
		}
		rows += part.Rows
		part.AddTo(set)
	}
	return rows, set.len()
}

// run is the run of a day that the selection reads, or all of them.
func (s *selection) run(d *columns.Day) (run int, ok bool) {
	if s.event == ask.AnyEvent {
		return columns.AnyType, true
	}
	return d.RunOf(s.event)
}

func (s *source) addUsers(set userSet, sel *selection, p piece) {
	d := s.days[p.day]
	if sel.match == nil {
		if run, ok := sel.run(d); ok {
			d.Part(run, p.lo, p.hi).AddTo(set)
		}
		return
	}
	users, times := d.Users(), d.Times()
	for _, run := range d.Runs() {
		if !sel.reads(run.Type) {
			continue
		}
		keep := trues(run.Hi - run.Lo)
		sel.match.and(p.day, run.Lo, keep)
		for i, kept := range keep {
			if at := times[run.Lo+i]; kept && p.lo <= at && at <= p.hi {
				user := users[run.Lo+i]
				set[user>>6] |= 1 << (user & 63)
			}
		}
	}
}
