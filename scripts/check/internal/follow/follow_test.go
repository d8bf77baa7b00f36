package follow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"maidian-check/internal/receiver"
	"maidian-check/internal/verdict"
	"maidian-check/internal/watch"
)

// start is when everything was made.
const start = int64(1_750_000_000_000)

// scene is a project of which all came as it should: purchases, one of them
// large in each of ten seconds, and three events on a page in one second.
func scene() *Case {
	c := &Case{
		Breaks: -1, Notices: map[string][]watch.Notice{}, Targets: map[string][]watch.Destination{},
		Plan: &watch.Plan{At: start, Projects: []string{"p"}, Large: 900, Old: 3 * day, Many: 3, Window: 2000, Grace: 10_000},
	}
	for i := range 20 {
		at := start + int64(i)*1000
		c.happens(fmt.Sprint("e", i), at, float64(i%2)*950)
	}
	for i := range 3 {
		c.visits(fmt.Sprint("v", i), start+12_500)
	}
	c.tells("firing", start+13_000, 3)
	c.tells("recovered", start+15_000, 0)
	slices.SortFunc(c.Events["p"], func(a, b *Event) int { return int(a.Stored - b.Stored) })
	for _, e := range c.Events["p"] {
		e.Batch, e.Written = "b"+e.ID, e.Stored
	}
	c.forwards()
	return c
}

// happens is a purchase.
func (c *Case) happens(id string, at int64, amount float64) {
	c.Add(&Event{Project: "p", ID: id, Type: "purchase", Amount: amount, At: at, Received: at, Stored: at + 10, Hash: id})
	if amount >= c.Plan.Large {
		f := watch.Firing{ID: "f-" + id, Project: "p", Rule: watch.LargeRule, State: "firing", Channels: []string{watch.Channel}}
		f.Event.ID = id
		c.makes(f)
	}
}

func (c *Case) visits(id string, at int64) {
	c.Add(&Event{Project: "p", ID: id, Type: "page_view", Page: "/1", At: at, Received: at, Stored: at + 10, Hash: id})
}

// tells is a firing of a window, with all that comes of it.
func (c *Case) tells(state string, end int64, value float64) {
	f := watch.Firing{ID: fmt.Sprint(end, state), Project: "p", Rule: watch.ManyRule, Group: "/1", State: state, Value: value, Channels: []string{watch.Channel}}
	f.Window.To = time.UnixMilli(end)
	c.makes(f)
}

func (c *Case) makes(f watch.Firing) {
	c.Firings = append(c.Firings, f)
	c.Notices["p"] = append(c.Notices["p"], watch.Notice{ID: f.ID + "/x", Channel: watch.Channel, Firing: f, State: "delivered"})
	c.Arrivals = append(c.Arrivals, receiver.Arrival{Path: "/told/p", ID: "m" + f.ID, Status: 200, Firing: &f})
}

// forwards posts and files every event in the order in which they were stored.
func (c *Case) forwards() {
	file := File{Name: "p/day/f.ndjson"}
	for _, e := range c.Events["p"] {
		sent := []receiver.Event{{ID: e.ID, Hash: e.Hash}}
		c.Arrivals = append(c.Arrivals, receiver.Arrival{Path: "/forwarded/p", Status: 200, Events: sent})
		file.Events, file.hours = append(file.Events, sent[0]), append(file.hours, "day")
	}
	c.Files = []File{file}
}

// posts is the n-th request of the events.
func (c *Case) posts(n int) *receiver.Arrival {
	return &c.Arrivals[len(c.Arrivals)-23+n]
}

func TestWhatFollowsIsJudged(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Case)
		broken string
	}{
		"all is well":                           {func(*Case) {}, ""},
		"a firing is missing":                   {func(c *Case) { c.Firings = c.Firings[:len(c.Firings)-2] }, "firings notices told"},
		"a firing of an event is missing":       {func(c *Case) { c.Firings = slices.Delete(c.Firings, 9, 10) }, "firings notices told"},
		"a firing is there twice":               {func(c *Case) { f := c.Firings[3]; f.ID = "other"; c.Firings = append(c.Firings, f) }, "firings notices told"},
		"an innocent event is told":             {func(c *Case) { f := c.Firings[3]; f.Event.ID = "e2"; f.ID = "f-e2"; c.makes(f) }, "firings"},
		"a window is told that nobody was in":   {func(c *Case) { c.tells("firing", start+18_000, 3); c.tells("recovered", start+19_000, 0) }, "firings"},
		"a window counts too much":              {func(c *Case) { c.Firings[len(c.Firings)-2].Value = 4 }, "firings told"},
		"the end of it is not told":             {func(c *Case) { c.Firings = c.Firings[:len(c.Firings)-1] }, "firings notices told"},
		"it is told again while it holds":       {func(c *Case) { c.tells("firing", start+14_000, 3) }, "firings"},
		"what is late may count":                {func(c *Case) { c.stored["p/v0"].Stored = start + 23_500; c.Firings[len(c.Firings)-2].Value = 2 }, "told"},
		"what is late may not, and nobody says": {late, ""},
		"what is late, but not so late, counts": {func(c *Case) { late(c); c.stored["p/v0"].Stored -= 10_000 }, "firings"},
		"a notice is there twice":               {func(c *Case) { n := c.Notices["p"][2]; n.ID = "z"; c.Notices["p"] = append(c.Notices["p"], n) }, "notices"},
		"a notice is missing":                   {func(c *Case) { c.Notices["p"] = c.Notices["p"][1:] }, "notices"},
		"a notice is given up":                  {func(c *Case) { c.Notices["p"][1].State = "given_up" }, "notices"},
		"nobody is told":                        {func(c *Case) { c.Arrivals[1].Status = 500 }, "told"},
		"people are told twice":                 {func(c *Case) { c.Arrivals = append(c.Arrivals, c.Arrivals[0]) }, ""},
		"they are, under another id":            {func(c *Case) { a := c.Arrivals[0]; a.ID = "other"; c.Arrivals = append(c.Arrivals, a) }, "told"},
		"something else is told": {func(c *Case) {
			f := *c.Arrivals[0].Firing
			f.Event.ID = "e0"
			c.Arrivals = append(c.Arrivals, receiver.Arrival{Path: "/told/p", Status: 200, Firing: &f})
		}, "told"},
		"it is not signed":          {func(c *Case) { c.Arrivals[0].Wrong = "no" }, "signed"},
		"an event is not posted":    {func(c *Case) { c.posts(4).Events = nil }, "forwarded"},
		"its request was not taken": {func(c *Case) { c.posts(4).Status = 0 }, "forwarded"},
		"it was not taken, but later": {func(c *Case) {
			c.posts(4).Status = 0
			c.Arrivals = append(c.Arrivals, *c.posts(4))
			c.Arrivals[len(c.Arrivals)-1].Status = 200
		}, ""},
		"it is posted otherwise":       {func(c *Case) { c.posts(4).Events[0].Hash = "x" }, "forwarded"},
		"something else is posted":     {func(c *Case) { c.posts(4).Events = append(c.posts(4).Events, receiver.Event{ID: "z"}) }, "forwarded"},
		"events come in another order": {func(c *Case) { a, b := c.posts(4), c.posts(11); *a, *b = *b, *a }, "order"},
		"some were held up a little":   {func(c *Case) { a, b := c.posts(4), c.posts(5); *a, *b = *b, *a }, ""},
		"those of a message do": {func(c *Case) {
			a, b := c.posts(4), c.posts(5)
			c.stored["p/e5"].Batch, c.stored["p/e5"].Position = c.stored["p/e4"].Batch, 1
			*a, *b = *b, *a
		}, "order"},
		"they come again":                 {func(c *Case) { c.Arrivals = append(c.Arrivals, *c.posts(4)) }, ""},
		"they come again without a cause": {func(c *Case) { c.Breaks = 0; c.Arrivals = append(c.Arrivals, *c.posts(4)) }, "twice"},
		"two forward by turns": {func(c *Case) {
			c.Breaks = 1
			all := c.Arrivals[len(c.Arrivals)-23:]
			c.Arrivals = c.Arrivals[: len(c.Arrivals)-23 : len(c.Arrivals)-23]
			for i, a := range all {
				c.Arrivals = append(c.Arrivals, a, all[max(0, i-2)])
			}
		}, "twice"},
		"an event is in no file":        {func(c *Case) { c.Files[0].Events = c.Files[0].Events[1:]; c.Files[0].hours = c.Files[0].hours[1:] }, "files"},
		"an event is in two files":      {func(c *Case) { f := c.Files[0]; f.Name = "p/day/g.ndjson"; c.Files = append(c.Files, f) }, "files"},
		"an event is in another's file": {func(c *Case) { c.Files[0].hours[2] = "other" }, "files"},
		"a file has what is not stored": {func(c *Case) { c.Files[0].Events[2].ID = "z" }, "files"},
		"a file is torn":                {func(c *Case) { c.Files[0].Wrong = "torn" }, "files"},
		"a destination is behind": {func(c *Case) {
			c.Targets["p"] = make([]watch.Destination, 1)
			c.Targets["p"][0].Progress.Lag = 5
		}, "forwarded"},
	} {
		t.Run(name, func(t *testing.T) {
			c := scene()
			tt.change(c)
			findings, _ := c.Judge()
			var broken []string
			for _, f := range findings {
				broken = append(broken, f.Rule)
			}
			if got := strings.Join(broken, " "); got != tt.broken {
				t.Errorf("broken is %q, want %q: %+v", got, tt.broken, findings)
			}
		})
	}
}

// late is a window of which the third event is stored when it is judged, and nothing is told of it.
func late(c *Case) {
	c.stored["p/v0"].Stored = start + 23_500
	c.stored["p/v0"].Received = start + 12_500
	n := len(c.Firings) - 2
	c.Firings, c.Notices["p"] = c.Firings[:n], c.Notices["p"][:n]
	c.Arrivals = append(c.Arrivals[:n:n], c.Arrivals[n+2:]...)
}

func TestHowMuchWasJudgedIsSaid(t *testing.T) {
	c := scene()
	if _, got := c.Judge(); got.Firings != 12 || got.Told != 12 || got.Posted != 23 || got.Filed != 23 || got.Windows < 5 || got.Doubtful > 5 {
		t.Errorf("got %+v", got)
	}
	c.Judge() // once more is the same
	if _, again := c.Judge(); again != (verdict.Followed{Firings: 12, Told: 12, Posted: 23, Filed: 23, Windows: again.Windows, Doubtful: again.Doubtful}) {
		t.Errorf("got %+v", again)
	}
}
