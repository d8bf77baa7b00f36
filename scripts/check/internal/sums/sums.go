// Package sums works out in the plainest way what the query service must
// answer about the stored events.
package sums

import (
	"slices"
	"time"
)

// Act is what the reports need of a stored event.
type Act struct {
	User, Device, Session string
	Type                  string
	At                    int64 // epoch milliseconds
}

// Project is the stored events of one project.
type Project struct {
	Acts []Act
	of   map[string]string // user of a device
}

// Add takes one event more.
func (p *Project) Add(a Act) { p.Acts = append(p.Acts, a) }

// Prepare is called once all events are there. Every made-up device belongs to
// one user at most, so there is no first among several.
func (p *Project) Prepare() {
	p.of = map[string]string{}
	for _, a := range p.Acts {
		if a.User != "" && a.Device != "" {
			p.of[a.Device] = a.User
		}
	}
	slices.SortStableFunc(p.Acts, func(a, b Act) int { return int(a.At - b.At) })
}

// who did it: the user, the one that the device belongs to, the device, the session.
func (p *Project) who(a *Act) string {
	switch {
	case a.User != "":
		return a.User
	case p.of[a.Device] != "":
		return p.of[a.Device]
	case a.Device != "":
		return a.Device
	}
	return a.Session
}

// Range is a span of whole UTC days, both ends inclusive.
type Range struct{ From, To time.Time }

// Date is a day as the query service reads and writes it.
func Date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func (r Range) within(at int64) bool {
	return at >= r.From.UnixMilli() && at < r.To.AddDate(0, 0, 1).UnixMilli()
}

// Count is a number of events and of the people who did them.
type Count struct{ Events, Users int }

// Totals are the counts by event type.
func (p *Project) Totals(r Range) map[string]Count {
	users := map[string]map[string]bool{}
	counts := map[string]Count{}
	for i := range p.Acts {
		a := &p.Acts[i]
		if !r.within(a.At) {
			continue
		}
		if users[a.Type] == nil {
			users[a.Type] = map[string]bool{}
		}
		users[a.Type][p.who(a)] = true
		counts[a.Type] = Count{counts[a.Type].Events + 1, len(users[a.Type])}
	}
	return counts
}

// Funnel is how many people did each of the steps after the one before,
// within the window from the first. The steps are different types, so for
// each first step the earliest next one is the best.
func (p *Project) Funnel(r Range, steps []string, window time.Duration) []int {
	best := map[string]int{}
	for who, acts := range p.people(r) {
		for i := range acts {
			if acts[i].Type == steps[0] {
				best[who] = max(best[who], chain(acts, i, steps, window))
			}
		}
	}
	reached := make([]int, len(steps))
	for _, n := range best {
		for i := range n {
			reached[i]++
		}
	}
	return reached
}

// people are everybody's acts in the order of time.
func (p *Project) people(r Range) map[string][]*Act {
	people := map[string][]*Act{}
	for i := range p.Acts {
		if a := &p.Acts[i]; r.within(a.At) {
			people[p.who(a)] = append(people[p.who(a)], a)
		}
	}
	return people
}

// chain is how many steps follow one another from the first at start on.
// Acts of the same moment may be taken in any order, so the search for each
// step begins at the first act of the moment of the step before.
func chain(acts []*Act, start int, steps []string, window time.Duration) int {
	at, end := acts[start].At, acts[start].At+window.Milliseconds()
	done := 1
	for _, step := range steps[1:] {
		next := slices.IndexFunc(acts, func(a *Act) bool { return a.Type == step && a.At >= at && a.At <= end })
		if next < 0 {
			break
		}
		at = acts[next].At
		done++
	}
	return done
}

// Retention has a row for each day of the range: how many did start on it,
// and how many of those did again on each day after it.
func (p *Project) Retention(r Range, start, again string) [][]int {
	days := int(r.To.Sub(r.From).Hours()/24) + 1
	starters, returners := make([]map[string]bool, days), make([]map[string]bool, days)
	for i := range days {
		starters[i], returners[i] = map[string]bool{}, map[string]bool{}
	}
	for i := range p.Acts {
		a := &p.Acts[i]
		if !r.within(a.At) {
			continue
		}
		day := int(time.UnixMilli(a.At).Sub(r.From).Hours() / 24)
		if a.Type == start {
			starters[day][p.who(a)] = true
		}
		if a.Type == again {
			returners[day][p.who(a)] = true
		}
	}
	rows := make([][]int, days)
	for day := range days {
		rows[day] = []int{len(starters[day])}
		for later := day + 1; later < days; later++ {
			rows[day] = append(rows[day], both(starters[day], returners[later]))
		}
	}
	return rows
}

func both(a, b map[string]bool) (n int) {
	for who := range a {
		if b[who] {
			n++
		}
	}
	return n
}
