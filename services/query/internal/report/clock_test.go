package report

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// Every report that has days has those of the zone, with all that happened in
// each of them; the hours of the day are those that its clocks showed.
func TestReportsHaveTheDaysOfOddClocks(t *testing.T) {
	for name, o := range testenv.OddClocks {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(o.Zone)
			if err != nil {
				t.Fatal(err)
			}
			days := newLocalDays(zone, at(o.At)-3*day, at(o.At)+3*day)
			v, asked := columns.FromEvents("demo", days.events), `"timezone": "`+o.Zone+`", "from": "`+days.dates[0]+`", "to": "`+days.dates[len(days.dates)-1]+`"`
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
	if days := countDays(r.Calendar, sum.PreviousRange); days != len(d.dates) {
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

func countDays(c calendar.Calendar, s Span) (n int) {
	for start := s.From; start <= s.To; start = c.Next(calendar.Day, start) {
		n++
	}
	return n
}
