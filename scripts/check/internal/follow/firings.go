package follow

import (
	"slices"
	"time"

	"maidian-check/internal/verdict"
	"maidian-check/internal/watch"
)

const (
	day = 24 * 60 * 60 * 1000
	// takenUp is how long a rule may take until it is looked at: what is stored before need not be told.
	takenUp = 60 * 1000
	// uneven is how far moments of the same thing may lie apart that are taken one after the other.
	uneven = 2 * 1000
	// margin is how long before a window is judged an event must be there to be in it for certain.
	margin = 3 * 1000
)

// firings of a project are those that the stored events must make, each once.
func (c *Case) firings(project string) {
	there := map[string]*watch.Firing{}
	for i := range c.Firings {
		f := &c.Firings[i]
		if f.Project != project {
			continue
		}
		if there[f.Name()] != nil {
			c.found(verdict.Firings, "%s is there twice, as %s and %s", f.Name(), there[f.Name()].ID, f.ID)
		}
		there[f.Name()] = f
	}
	c.sums.Firings += len(there)
	since := c.since(project, there)
	for name := range c.large(project, there, since) {
		c.found(verdict.Firings, "%s is told, but no event makes it so", name)
	}
	c.many(project, there, since)
}

// since is when the rules were surely looked at: when the first event was stored of which something was told.
func (c *Case) since(project string, there map[string]*watch.Firing) int64 {
	first := c.Plan.At + takenUp + c.Skew
	for _, f := range there {
		if e := c.stored[project+"/"+f.Event.ID]; f.Rule == watch.LargeRule && e != nil {
			first = min(first, e.there())
		}
	}
	return first + uneven
}

// large leaves of the firings of single events those that none should have made.
func (c *Case) large(project string, there map[string]*watch.Firing, since int64) map[string]bool {
	left := map[string]bool{}
	for name, f := range there {
		if f.Rule == watch.LargeRule {
			left[name] = true
		}
	}
	for _, e := range c.Events[project] {
		if e.Type != "purchase" || e.Amount < c.Plan.Large || e.At < e.Received-c.Plan.Old-day {
			continue
		}
		f := watch.Firing{Project: project, Rule: watch.LargeRule}
		f.Event.ID = e.ID
		name := f.Name()
		if must := e.there() > since && e.At >= e.Received-c.Plan.Old+day; must && there[name] == nil {
			c.found(verdict.Firings, "%s is missing; its event was there %s, the rule was looked at since %s", name, clock(e.there()), clock(since))
		}
		delete(left, name)
	}
	return left
}

func clock(at int64) string { return time.UnixMilli(at).UTC().Format("15:04:05.000") }

// span is how many events there were in a window: at least, and at most, where
// some came so late that nobody can say whether they still counted.
type span struct{ least, most int }

// many judges every window of every page, one after the other: of each it is
// known whether the rule held before, because that was told or its end was.
func (c *Case) many(project string, there map[string]*watch.Firing, since int64) {
	windows, last := c.count(project, since)
	told, pages := map[string]map[int64]*watch.Firing{}, map[string]bool{}
	for page := range windows {
		pages[page] = true
	}
	for _, f := range there {
		if f.Rule != watch.ManyRule {
			continue
		}
		if told[f.Group] == nil {
			told[f.Group] = map[int64]*watch.Firing{}
		}
		end := f.Window.To.UnixMilli()
		if other := told[f.Group][end]; other != nil {
			c.found(verdict.Firings, "%s and %s are of the same window", f.Name(), other.Name())
		}
		told[f.Group][end] = f
		pages[f.Group] = true
	}
	for page := range pages {
		c.page(page, windows[page], told[page], since, last)
	}
}

// count puts every event of a project into the windows that it may be in. The
// last window is one that nothing is in any more.
func (c *Case) count(project string, since int64) (windows map[string]map[int64]*span, last int64) {
	windows = map[string]map[int64]*span{}
	for _, e := range c.Events[project] {
		if e.Page == "" || e.At < since-c.Plan.Window {
			continue
		}
		of := windows[e.Page]
		if of == nil {
			of = map[int64]*span{}
			windows[e.Page] = of
		}
		for end := e.At - e.At%1000 + 1000; end <= e.At+c.Plan.Window; end += 1000 {
			if of[end] == nil {
				of[end] = &span{}
			}
			judged := end + c.Plan.Grace
			if e.there()+margin+c.Skew <= judged {
				of[end].least++
			}
			if e.Received <= judged+uneven+c.Skew {
				of[end].most++
			}
			last = max(last, end+1000)
		}
	}
	return windows, last
}

func (c *Case) page(page string, windows map[int64]*span, told map[int64]*watch.Firing, since, last int64) {
	var ends []int64
	for end := range told {
		if end < since || end > last {
			ends = append(ends, end)
		}
	}
	for end := since - since%1000 + 1000; end <= last; end += 1000 {
		ends = append(ends, end)
	}
	slices.Sort(ends)
	on := false
	for _, end := range ends {
		n := windows[end]
		if n == nil {
			n = &span{}
		}
		whole := end-c.Plan.Window > since // else some of its events may not have been looked at
		on = c.window(page, end, n, whole, told[end], on)
	}
}

// window judges one, and says whether the rule holds after it.
func (c *Case) window(page string, end int64, n *span, whole bool, f *watch.Firing, on bool) bool {
	holds, holdsNot := whole && n.least >= c.Plan.Many, whole && n.most < c.Plan.Many
	c.sums.Windows++
	if !holds && !holdsNot {
		c.sums.Doubtful++
	}
	said := ""
	if f != nil {
		said = f.State
	}
	at := time.UnixMilli(end).UTC().Format("15:04:05")
	switch {
	case said == "" && (holds && !on || holdsNot && on):
		c.found(verdict.Firings, "%s%s: nothing is told of the window to %s with %d to %d events, %d are many; before it %s", watch.ManyRule, page, at, n.least, n.most, c.Plan.Many, held(on))
	case said == "firing" && (holdsNot || on), said == "recovered" && (holds || !on):
		c.found(verdict.Firings, "%s is told though there were %d to %d events, %d are many; before it %s", f.Name(), n.least, n.most, c.Plan.Many, held(on))
	case said == "firing" && whole && (int(f.Value) > n.most || int(f.Value) < n.least):
		c.found(verdict.Firings, "%s counts %v, there were %d to %d", f.Name(), f.Value, n.least, n.most)
	}
	if said != "" {
		on = said == "firing"
	}
	return on
}

func held(on bool) string {
	if on {
		return "it held"
	}
	return "it did not hold"
}
