package columns

import (
	"math"

	"github.com/maidian/maidian/pkg/event"
)

// firstDay is before all days that events can have.
const firstDay = math.MinInt32

// Retain hides the days before one, and says whether that hid any: their events
// are on their way out of the store. What comes for them counts as in, and is
// not shown. 0 hides nothing.
func (t *Table) Retain(from int32) (hid bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from == 0 || from <= t.retained {
		return false
	}
	t.retained = from
	t.stale.Store(true)
	return len(t.days) > 0 && t.hides(t.days[0].day.Number)
}

// Retained is the first day that is not hidden.
func (t *Table) Retained() int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.retained
}

// hides says so of a day. The caller holds the lock.
func (t *Table) hides(day int32) bool { return day < t.retained }

// Aside are empty tables beside these, with the same store, memory and hidden
// days: a project can start anew there, and take its old table's place when it is in.
func (t *Tables) Aside(project string) *Tables {
	aside := &Tables{reader: t.reader, shelf: t.shelf, metrics: t.metrics, cache: t.cache, asOf: t.asOf, tables: make(map[string]*Table)}
	aside.Project(project).retained = t.Project(project).Retained()
	return aside
}

// Renew puts the table of a project that has started anew in the place of the
// one that is here, and says whether more days were hidden meanwhile. Views of
// the old one go on as they are.
func (t *Tables) Renew(project string, aside *Tables) (outdated bool) {
	fresh := aside.Project(project)
	t.mu.Lock()
	old := t.tables[project]
	t.tables[project] = fresh
	t.mu.Unlock()
	if old == nil {
		return false
	}
	old.letGoAll()
	return fresh.Retain(old.Retained())
}

// letGoAll takes what the table has in memory out of the accounts: it goes with the last View.
func (t *Table) letGoAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.days {
		if h.day.quiet != nil {
			t.retire(h.day)
		}
		for _, f := range h.follow {
			t.tables.cache.count(f.resident, 0)
		}
	}
	t.tables.metrics.rows.Sub(float64(t.rows))
}

// retainedFrom is the first moment that is not hidden, zero when none is.
func (t *Table) retainedFrom() event.Time {
	if t.retained == firstDay {
		return 0
	}
	return event.Time(t.retained) * dayLength
}
