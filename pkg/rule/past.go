package rule

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Past is what rules that have just begun learn from what was stored before
// they did: one that compares with the past need not wait for weeks until it
// knows what is usual. It is read beside the evaluation, from the newest hour
// back, and becomes the rules' own with Learn.
type Past struct {
	e     *Evaluator // of the rules that learn; it judges nothing
	from  event.Time // how far back the first of them looks
	first event.Time // of all events, as far as is known
	whole event.Time // all that happened from then on was seen
}

// learnt is what the past of a group was.
type learnt struct {
	values map[event.Time]float64 // by the end of the window
	first  event.Time             // slice with an event
}

const never = event.Time(math.MaxInt64)

// back is how far before its beginning a rule looks.
func (r *Rule) back() event.Time {
	if w := r.windowed; w != nil && w.past > 0 {
		return w.past + w.window
	} else if w != nil {
		return 0
	}
	return r.each.learn
}

// Past is of the rules that know nothing of theirs yet; nil when there are none.
func (e *Evaluator) Past() *Past {
	since, rules := map[string]event.Time{}, []*Rule{}
	for _, s := range e.rules {
		if !s.Learnt && s.rule.back() > 0 {
			since[s.rule.ID] = s.Since
			rules = append(rules, s.rule)
		}
	}
	if len(rules) == 0 {
		return nil
	}
	p := &Past{e: New(e.project, e.progress), from: never, first: never, whole: never}
	p.e.Use(rules)
	for _, s := range p.e.rules {
		s.Since, s.past = since[s.rule.ID], map[string]*learnt{}
		from := s.Since - s.rule.back() - mostAhead
		p.from = min(p.from, from)
		if w := s.rule.windowed; w != nil {
			s.Judged = from / w.step * w.step
		}
	}
	return p
}

// The journal is read back in pieces: an hour, and longer ones where little is in them.
const (
	shortestPiece = hour
	longestPiece  = week
	littleInPiece = 1000
)

var errEnough = errors.New("enough")

// Journal is the list of what was stored.
type Journal interface {
	Batches(ctx context.Context, after store.Cursor, limit int) ([]store.Batch, error)
}

// Read looks at what was stored, until it has seen as much as the rules want or
// so many events and entries of the journal; then it knows the newest part.
func (p *Past) Read(ctx context.Context, journal Journal, stored Events, most int) error {
	to, piece := never, shortestPiece
	for from := p.e.progress; from > p.from; to = from {
		from = max(p.from, from-piece)
		left := most
		err := eachPiece(ctx, journal, p.e.project, from, func(b *store.Batch) error {
			if b.WrittenAt >= to {
				return errEnough
			}
			return spend(&most, 1)
		}, func(entries []store.Batch) error {
			return eventsOf(ctx, stored, p.e.project, entries, func(ev *event.Event) error {
				p.observe(ev)
				return spend(&most, 1)
			})
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		if most < 0 {
			return nil
		}
		p.settle(from)
		if left-most < littleInPiece {
			piece = min(2*piece, longestPiece)
		} else {
			piece = shortestPiece
		}
	}
	older, err := p.older(ctx, journal)
	if older {
		p.first = p.from
	}
	return err
}

// mostSearched is how many entries are looked at for the project's first.
const mostSearched = 10_000

// older says whether the project is older than what was read of it.
func (p *Past) older(ctx context.Context, journal Journal) (found bool, err error) {
	most := mostSearched
	err = store.EachBatch(ctx, journal, store.Cursor{}, func(b *store.Batch) error {
		if found = b.Project == p.e.project && b.WrittenAt < p.from; found || b.WrittenAt >= p.from {
			return errEnough
		}
		return spend(&most, 1)
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

// spend is errEnough once there is no more left.
func spend(left *int, n int) error {
	if *left -= n; *left < 0 {
		return errEnough
	}
	return nil
}

// eventsAtOnce is how many events are read at a time.
const eventsAtOnce = 5000

// eachPiece hands out a project's entries written from a moment on, some at a
// time, up to the first entry, of any project, at which look says that it is enough.
func eachPiece(ctx context.Context, journal Journal, project string, from event.Time, look func(*store.Batch) error, take func([]store.Batch) error) error {
	var entries []store.Batch
	waiting := 0
	flush := func() error {
		err := take(entries)
		entries, waiting = entries[:0], 0
		return err
	}
	err := store.EachBatch(ctx, journal, store.Cursor{WrittenAt: from}, func(b *store.Batch) error {
		if err := look(b); err != nil {
			return err
		}
		if b.Project == project && b.Stored > b.Erased {
			entries = append(entries, *b)
			waiting += b.Stored
		}
		if waiting < eventsAtOnce {
			return nil
		}
		return flush()
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return cmp.Or(flush(), err)
}

func (p *Past) observe(ev *event.Event) {
	p.first = min(p.first, happened(ev))
	p.e.Observe(ev)
}

// settle measures the windows that began since a moment: what was written from
// then on was seen, and nothing is written long before it happens.
func (p *Past) settle(from event.Time) {
	from += mostAhead
	for _, s := range p.e.rules {
		if s.rule.windowed == nil {
			continue
		}
		for name, g := range s.Groups {
			if s.past[name] == nil {
				s.past[name] = &learnt{map[event.Time]float64{}, never}
			}
			s.settle(s.past[name], g, from, p.whole)
		}
	}
	p.whole = from
}

// settle measures a group's windows that began in a span. Only those in which
// something was are remembered, see Learn.
func (s *running) settle(l *learnt, g *group, from, before event.Time) {
	w := s.rule.windowed
	from = (from + w.step - 1) / w.step * w.step
	for start := from; start < before && start+w.window <= s.Since; start += w.step {
		if sum, any := g.sum(w, start+w.window); any {
			if value, measured := w.metric.of(&sum); measured {
				l.values[start+w.window] = value
			}
		}
	}
	for i := range g.Buckets {
		if at := event.Time(g.Buckets[i].Index) * w.step; at >= from {
			l.first = min(l.first, at)
		}
	}
	g.Buckets = slices.DeleteFunc(g.Buckets, func(b bucket) bool { return event.Time(b.Index)*w.step >= from+w.window })
}

// Learn gives the rules their past. One that was changed meanwhile has another.
func (e *Evaluator) Learn(p *Past) {
	past := map[string]*running{}
	for _, s := range p.e.rules {
		past[s.rule.ID] = s
	}
	for _, s := range e.rules {
		was := past[s.rule.ID]
		if was == nil || was.Definition != s.Definition || was.Since != s.Since || s.Learnt {
			continue
		}
		s.Learnt = true
		if s.rule.windowed == nil {
			s.Knows = min(s.Since, max(p.first, p.whole))
			for _, h := range slices.Sorted(maps.Keys(was.Seen)) {
				if len(s.Seen) < mostSeen {
					s.Seen[h] = struct{}{}
				}
			}
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(was.past)) {
			if g := s.group(e, name, was.past[name].first); g != nil {
				g.Since = min(g.Since, was.past[name].first)
				g.Last = max(g.Last, was.Groups[name].Last)
				s.remember(g, was.past[name], p)
			}
		}
	}
}

// remember puts the values of windows into their places, unless that of a later
// window is there. Where nothing was of a group since its first event, or of the
// whole project's since the project's, that is a value too, as it is to the evaluation.
func (s *running) remember(g *group, l *learnt, p *Past) {
	w := s.rule.windowed
	first := l.first
	if s.rule.GroupBy == "" {
		first = p.first
	}
	if first > s.Since {
		return
	}
	nothing, measured := w.metric.of(&bucket{})
	oldest := max(first/w.step*w.step+w.step-w.window, p.whole, s.Since-w.past-w.window)
	for end := (oldest+w.step-1)/w.step*w.step + w.window; end <= s.Since; end += w.step {
		value, there := l.values[end]
		if !there {
			value = nothing
		}
		if (there || measured) && end+w.past > s.Judged {
			g.History[w.place(end)] = value
		}
	}
}
