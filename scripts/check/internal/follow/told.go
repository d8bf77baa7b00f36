package follow

import (
	"maidian-check/internal/receiver"
	"maidian-check/internal/verdict"
	"maidian-check/internal/watch"
)

// notices: the outbox has one for each firing and each of its channels, and has sent it.
func (c *Case) notices(project string) {
	there := map[string]string{}
	for _, n := range c.Notices[project] {
		name := n.Firing.Name() + " to " + n.Channel
		if other, twice := there[name]; twice {
			c.found(verdict.Notices, "%s is there twice, as %s and %s", name, other, n.ID)
		}
		there[name] = n.ID
		if n.State != "delivered" {
			c.found(verdict.Notices, "%s is %s after %d attempts: %s", n.ID, n.State, n.Attempts, n.LastError)
		}
	}
	for i := range c.Firings {
		f := &c.Firings[i]
		if f.Project != project {
			continue
		}
		for _, channel := range f.Channels {
			name := f.Name() + " to " + channel
			if _, ok := there[name]; !ok {
				c.found(verdict.Notices, "there is none of %s", name)
			}
			delete(there, name)
		}
	}
	for name := range there {
		c.found(verdict.Notices, "%s is of no firing", name)
	}
}

// told: everybody was told of each firing, under one id, and of nothing else.
func (c *Case) told(project string) {
	firings, ids, names := map[string]*watch.Firing{}, map[string]string{}, map[string]string{}
	for i := range c.Firings {
		if f := &c.Firings[i]; f.Project == project {
			firings[f.Name()] = f
		}
	}
	heard := map[string]bool{}
	for i := range c.Arrivals {
		a := &c.Arrivals[i]
		if a.Path != watch.Told+project {
			continue
		}
		c.signed(a)
		c.sums.Told += c.taken(a)
		if a.Firing == nil {
			continue
		}
		name := a.Firing.Name()
		f := firings[name]
		switch {
		case f == nil:
			c.found(verdict.Told, "%s was told, the store has no such firing", name)
			continue
		case a.Firing.ID != f.ID || a.Firing.Value != f.Value:
			c.found(verdict.Told, "%s was told as %s with %v, the store has %s with %v", name, a.Firing.ID, a.Firing.Value, f.ID, f.Value)
		}
		if ids[name] != "" && ids[name] != a.ID || names[a.ID] != "" && names[a.ID] != name {
			c.found(verdict.Told, "%s was told under the ids %s and %s, or its id is that of %s", name, a.ID, ids[name], names[a.ID])
		}
		ids[name], names[a.ID] = a.ID, name
		heard[name] = heard[name] || a.Status == 200
	}
	for name, f := range firings {
		if len(f.Channels) > 0 && !heard[name] {
			c.found(verdict.Told, "nobody was told of %s", name)
		}
	}
}

func (c *Case) signed(a *receiver.Arrival) {
	if a.Wrong != "" {
		c.found(verdict.Signed, "%s to %s at %s: %s", a.ID, a.Path, clock(a.At), a.Wrong)
	}
}

// taken is 1 for a request that its sender could know to be taken.
func (c *Case) taken(a *receiver.Arrival) int {
	if a.Status == 200 {
		return 1
	}
	c.sums.Unmoved++
	return 0
}
