package query

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/sealed"
)

// SealedDays are days that the service has sealed, to be looked after by hand.
type SealedDays struct {
	Store    store.Store
	Project  string    // empty: every project
	From, To time.Time // the first and last UTC day; zero: without end
	Log      *zap.Logger
	Out      io.Writer // a line for each day, and a total
}

// Verify compares the days' segments with what their raw events give; an
// error says that some differ.
func (d *SealedDays) Verify(ctx context.Context) error {
	shelf := sealed.NewShelf(d.Store, d.Log, nil)
	return d.each(ctx, shelf.Verify, "as the raw events give", "not as the raw events give")
}

// Rebuild writes the days' segments anew from their raw events. Beside a
// running service it does no harm; a day whose events are others by now is left to the service.
func (d *SealedDays) Rebuild(ctx context.Context) error {
	shelf := sealed.NewShelf(d.Store, d.Log, nil)
	return d.each(ctx, shelf.Rebuild, "rebuilt", "taken out: the service will seal it again")
}

// handling is what is done with the sealed days of a project.
type handling func(ctx context.Context, project string, from, to int32, yield func(sealed.Finding) error) error

func (d *SealedDays) each(ctx context.Context, handle handling, right, wrong string) error {
	projects, err := d.projects(ctx)
	if err != nil {
		return err
	}
	from, to := int32(math.MinInt32), int32(math.MaxInt32)
	if !d.From.IsZero() {
		from = event.TimeOf(d.From).Day()
	}
	if !d.To.IsZero() {
		to = event.TimeOf(d.To).Day()
	}
	var total totals
	for _, project := range projects {
		err := handle(ctx, project, from, to, func(f sealed.Finding) error {
			total.add(&f)
			return d.print(&f, right, wrong)
		})
		if err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(d.Out, total.inWords()); err != nil {
		return err
	}
	if total.wrong > 0 {
		return fmt.Errorf("%d of %d days are %s", total.wrong, total.days, wrong)
	}
	return nil
}

func (d *SealedDays) projects(ctx context.Context) ([]string, error) {
	all, err := d.Store.Projects(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, p := range all {
		if d.Project == "" || p.ID == d.Project {
			ids = append(ids, p.ID)
		}
	}
	if d.Project != "" && len(ids) == 0 {
		return nil, fmt.Errorf("there is no project %q", d.Project)
	}
	return ids, nil
}

// print is a line for the day, and one for each thing that is wrong.
func (d *SealedDays) print(f *sealed.Finding, right, wrong string) error {
	verdict := right
	if len(f.Wrong) > 0 {
		verdict = wrong
	}
	_, err := fmt.Fprintf(d.Out, "%s  %s  %9d events  %2d parts  %9d bytes  %s\n",
		f.Project, dateOf(f.Day.Number), f.Day.Rows, f.Parts, f.Bytes, verdict)
	for _, name := range f.Missing {
		_, err = fmt.Fprintf(d.Out, "    %s is not in the store; it is built when it is asked for\n", name)
	}
	for _, problem := range f.Wrong {
		_, err = fmt.Fprintf(d.Out, "    %v\n", problem)
	}
	return err
}

func dateOf(day int32) string { return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly) }

// totals add findings up.
type totals struct{ days, events, parts, bytes, wrong int }

func (t *totals) add(f *sealed.Finding) {
	t.days, t.events, t.parts, t.bytes = t.days+1, t.events+f.Day.Rows, t.parts+f.Parts, t.bytes+f.Bytes
	if len(f.Wrong) > 0 {
		t.wrong++
	}
}

func (t *totals) inWords() string {
	if t.days == 0 {
		return "no day is sealed there"
	}
	return fmt.Sprintf("in all %d days, %d events, %d parts, %d bytes (%.2f an event)", t.days, t.events, t.parts, t.bytes, float64(t.bytes)/float64(max(t.events, 1)))
}
