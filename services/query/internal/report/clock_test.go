package report

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// TestCalendarFollowsTheLocalClock walks through a year minute by minute, or by
// five, and sees a new bucket exactly where the local date, hour or month turns.
func TestCalendarFollowsTheLocalClock(t *testing.T) {
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, interval := range []Interval{Hour, Day, Week, Month} {
			t.Run(name+" "+string(interval), func(t *testing.T) { follow(t, Calendar{zone, time.Sunday}, interval) })
		}
	}
}

// odd are moments at which the clocks of a place did what few do.
var odd = map[string]struct{ zone, at string }{
	"a date was skipped":                      {"Pacific/Apia", "2011-12-30T10:00:00Z"},
	"another date was skipped":                {"Pacific/Kwajalein", "1993-08-21T12:00:00Z"},
	"a day starts at one":                     {"America/Santiago", "2024-09-08T04:00:00Z"},
	"a day ends an hour later":                {"America/Santiago", "2024-04-07T03:00:00Z"},
	"a day starts at one, in the east":        {"Asia/Beirut", "2024-03-30T22:00:00Z"},
	"midnight comes twice":                    {"Asia/Beirut", "2024-10-26T21:00:00Z"},
	"midnight is skipped, in the south":       {"America/Sao_Paulo", "2018-11-04T03:00:00Z"},
	"midnight comes twice, in the south":      {"America/Sao_Paulo", "2018-02-18T02:00:00Z"},
	"half an hour forth":                      {"Asia/Pyongyang", "2018-05-04T15:00:00Z"},
	"half an hour back":                       {"America/Caracas", "2007-12-09T07:00:00Z"},
	"half an hour of daylight saving":         {"Australia/Lord_Howe", "2024-04-06T15:00:00Z"},
	"a quarter of an hour":                    {"Asia/Kathmandu", "1985-12-31T18:30:00Z"},
	"midnight comes twice, on an island":      {"Atlantic/Azores", "2024-10-27T01:00:00Z"},
	"daylight saving ends for a month":        {"Africa/Casablanca", "2024-03-10T02:00:00Z"},
	"an offset of half a minute":              {"Africa/Monrovia", "1972-01-07T00:44:30Z"},
	"two hours":                               {"Antarctica/Troll", "2024-03-31T01:00:00Z"},
	"in the night before a fast":              {"Africa/Cairo", "2014-07-31T22:00:00Z"},
	"an ordinary change in a zone far ahead":  {"Pacific/Auckland", "2026-04-04T14:00:00Z"},
	"an ordinary change in a zone far behind": {"America/Havana", "2026-11-01T05:00:00Z"},
}

func TestCalendarFollowsOddClocks(t *testing.T) {
	for name, o := range odd {
		zone, err := time.LoadLocation(o.zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, interval := range []Interval{Hour, Day, Week, Month} {
			t.Run(name+", "+string(interval), func(t *testing.T) {
				followFrom(t, Calendar{zone, time.Sunday}, interval, at(o.at)-40*day, at(o.at)+40*day)
			})
		}
	}
}

func follow(t *testing.T, c Calendar, interval Interval) {
	followFrom(t, c, interval, at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"))
}

func followFrom(t *testing.T, c Calendar, interval Interval, from, to event.Time) {
	b, err := c.Cut(interval, from, to)
	if err != nil {
		t.Fatal(err)
	}
	last := clockReads(c.Zone, interval, b.Starts[0])
	step := 5 * minute
	if b.Starts[0]%step != 0 {
		step = 30 * second
	}
	for ms := b.Starts[0]; ms < b.End; ms += step {
		n, key := b.Index(ms), clockReads(c.Zone, interval, ms)
		start := b.Starts[n] == ms
		if turned := key != last; turned != start && ms != b.Starts[0] {
			t.Fatalf("at %s the local clock turns to %s: %v, a bucket starts: %v", ms, key, turned, start)
		}
		if c.Floor(interval, ms) != b.Starts[n] {
			t.Fatalf("the %s of %s starts at %s, its bucket at %s", interval, ms, c.Floor(interval, ms), b.Starts[n])
		}
		last = key
	}
	if back := c.Back(interval, b.End, b.Len()); back != b.Starts[0] {
		t.Errorf("%d back from the end is %s, want %s", b.Len(), back, b.Starts[0])
	}
}

// clockReads names the interval that the clock on the wall shows; weeks start on Sunday.
func clockReads(zone *time.Location, interval Interval, t event.Time) string {
	local := t.Std().In(zone)
	switch interval {
	case Hour:
		return local.Format("2006-01-02T15 -07:00")
	case Week:
		y, m, d := local.Date()
		noon := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
		return noon.AddDate(0, 0, -int(noon.Weekday())).Format(time.DateOnly)
	case Month:
		return local.Format("2006-01")
	}
	return local.Format(time.DateOnly)
}

func TestTooManyBucketsAreRefused(t *testing.T) {
	c := Calendar{time.UTC, time.Monday}
	if _, err := c.Cut(Hour, 0, 100_000*hour); err == nil {
		t.Error("100,000 hours are taken")
	}
}

// Every report that has days has those of the zone, with all that happened in
// each of them; the hours of the day are those that its clocks showed.
func TestReportsHaveTheDaysOfOddClocks(t *testing.T) {
	for name, o := range odd {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(o.zone)
			if err != nil {
				t.Fatal(err)
			}
			days := newLocalDays(zone, at(o.at)-3*day, at(o.at)+3*day)
			v, asked := columns.FromEvents("demo", days.events), `"timezone": "`+o.zone+`", "from": "`+days.dates[0]+`", "to": "`+days.dates[len(days.dates)-1]+`"`
			days.trends(t, v, asked)
			days.cohorts(t, v, asked)
			days.summary(t, v, asked)
		})
	}
}

// localDays are events every ten minutes on whole days of a zone, and how many
// fall on each date and hour, as the clocks showed them.
type localDays struct {
	events []event.Event
	dates  []string
	counts []float64
	hours  [24]int
}

func newLocalDays(zone *time.Location, from, to event.Time) *localDays {
	d := &localDays{}
	first, last := from.Std().In(zone).Format(time.DateOnly), to.Std().In(zone).Format(time.DateOnly)
	for ms := from - 2*day; ms < to+2*day; ms += 10 * minute {
		local := ms.Std().In(zone)
		date := local.Format(time.DateOnly)
		if date < first || date > last {
			continue
		}
		if n := len(d.dates); n == 0 || d.dates[n-1] != date {
			d.dates, d.counts = append(d.dates, date), append(d.counts, 0)
		}
		d.counts[len(d.counts)-1]++
		d.hours[local.Hour()]++
		d.events = append(d.events, event.Event{EventID: fmt.Sprint(ms), EventType: "a", UserID: "ann", Timestamp: ms})
	}
	return d
}

func (d *localDays) trends(t *testing.T, v *columns.View, asked string) {
	a := answerOf[TrendsAnswer](t, v, "trends", `{"series": ["a", {"event": "a", "filters": [{"property": "user_id", "op": "exists"}]}], `+asked+`}`)
	if !slices.Equal(a.Buckets, d.dates) || !slices.Equal(a.Series[0].Values, d.counts) || !slices.Equal(a.Series[1].Values, d.counts) {
		t.Errorf("trends: got %v %v, want %v %v", a.Buckets, a.Series, d.dates, d.counts)
	}
	hours := answerOf[TrendsAnswer](t, v, "trends", `{"series": ["a"], "interval": "hour", `+asked+`}`)
	if hours.Series[0].Total != float64(len(d.events)) || slices.Max(hours.Series[0].Values) > 6 {
		t.Errorf("hours: got %v of %d events", hours.Series[0], len(d.events))
	}
	f := answerOf[FunnelAnswer](t, v, "funnel", `{"steps": ["a", "a"], "view": "trend", "window": "1h", `+asked+`}`)
	for i, row := range f.Rows {
		if row.Bucket != d.dates[i] || row.Entered != 1 || row.Converted != 1 {
			t.Errorf("funnel: got %+v for %s", row, d.dates[i])
		}
	}
}

func (d *localDays) cohorts(t *testing.T, v *columns.View, asked string) {
	for _, body := range []string{`"intervals": 3`, `"intervals": 3, "min_occurrences": 2`} {
		r := answerOf[RetentionAnswer](t, v, "retention", `{`+body+`, `+asked+`}`)
		var starts []string
		for _, c := range r.Cohorts {
			starts = append(starts, c.Start)
			if slices.ContainsFunc(c.Values, func(n int) bool { return n != 1 }) {
				t.Errorf("retention: got %v for %s, want ann every day", c.Values, c.Start)
			}
		}
		if !slices.Equal(starts, d.dates) {
			t.Errorf("retention: got %v, want %v", starts, d.dates)
		}
	}
	l := answerOf[LifecycleAnswer](t, v, "lifecycle", `{`+asked+`}`)
	if !slices.Equal(l.Buckets, d.dates) || l.New[0] != 1 || slices.Contains(l.Returning[1:], 0) || slices.Contains(l.Dormant, -1) {
		t.Errorf("lifecycle: got %+v, want ann to return each day", l)
	}
	s := answerOf[StickinessAnswer](t, v, "stickiness", `{`+asked+`}`)
	if !slices.Equal(s.Buckets, d.dates) || s.Data[len(d.dates)-1] != 1 {
		t.Errorf("stickiness: got %v %v, want ann active on all days", s.Buckets, s.Data)
	}
}

func (d *localDays) summary(t *testing.T, v *columns.View, asked string) {
	body := "{" + asked + "}"
	p, err := ParamsFromJSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ReadSummary(p, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := Summary(t.Context(), v, r)
	if err != nil || sum.Hours != d.hours || sum.Overview.TotalEvents != len(d.events) {
		t.Errorf("summary: got %v (%v), want %v", sum.Hours, err, d.hours)
	}
	if days := r.Calendar.countDays(sum.PreviousRange); days != len(d.dates) {
		t.Errorf("summary: the range before has %d days, want %d", days, len(d.dates))
	}
	stats, err := Stats(t.Context(), v, StatsRequest{r.Common})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range stats.ByDay {
		if s.Date != d.dates[i] || float64(s.Count) != d.counts[i] || s.Users != 1 {
			t.Errorf("stats: got %+v, want %s with %v", s, d.dates[i], d.counts[i])
		}
	}
}

func (c Calendar) countDays(s Span) (n int) {
	for start := s.From; start <= s.To; start = c.Next(Day, start) {
		n++
	}
	return n
}
