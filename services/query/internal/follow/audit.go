package follow

import (
	"context"
	"fmt"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"go.uber.org/zap"
)

// audit compares what is in with what the journal says, entry by entry, and day
// by day where days are sealed and their batches are not in memory. A
// journal of any length is gone through part by part, then from the beginning
// again; a short one in one go.
type audit struct {
	at      store.Cursor
	missing int // events that the journal names and that were not in, so far
	surplus int // events that are in beyond what the journal names, so far

	sealed map[string]map[int32]sealed.Day // by project: the days that were sealed when it began
	sums   map[projectDay]daySum
	vague  map[string]bool // projects with entries that do not tell their days
}

type projectDay struct {
	project string
	day     int32
}

// daySum is what the journal says of a day's events.
type daySum struct {
	batches uint64 // see sealed.BatchSum
	rows    int    // of the batches that are of this day alone
	shared  bool   // there are others, so rows are not all
	erased  bool   // some are not stored any more, so nothing is certain
}

// auditPages is how much of the journal one part of the audit reads.
const auditPages = 20

// auditSome does the next part when it is due.
func (f *Follower) auditSome(ctx context.Context, now time.Time) error {
	if now.Before(f.auditAt) {
		return nil
	}
	f.auditAt = now.Add(f.options.Audit)
	if f.audit.sums == nil {
		f.beginAudit()
	}
	for range auditPages {
		entries, err := f.store.Batches(ctx, f.audit.at, page)
		if err != nil {
			return fmt.Errorf("audit the journal: %w", err)
		}
		if err := f.auditPage(ctx, entries, now); err != nil {
			return err
		}
		if len(entries) < page {
			f.closeAudit()
			return nil
		}
	}
	return nil
}

// auditPage compares, and adds what following has missed.
func (f *Follower) auditPage(ctx context.Context, entries []store.Batch, now time.Time) error {
	var missed []store.Batch
	settled := event.TimeOf(now) - event.Time(f.options.Overlap.Milliseconds())
	for _, entry := range entries {
		f.audit.at = store.After(entry)
		f.sum(entry)
		difference := f.missing(entry)
		f.audit.surplus += max(0, -difference)
		owed := f.short[keyOf(entry)] != nil
		if difference <= 0 || !owed && entry.WrittenAt > settled { // the usual looks have not ended with it
			continue
		}
		f.audit.missing += difference
		if !owed {
			f.metrics.missed.Add(float64(difference))
			f.log.Warn("an entry of the journal was missed; adding it now",
				zap.String("project", entry.Project), zap.String("batch", entry.ID), zap.Stringer("written", entry.WrittenAt))
			missed = append(missed, entry)
		}
	}
	return f.take(ctx, missed)
}

func (f *Follower) beginAudit() {
	f.audit.sums, f.audit.vague = make(map[projectDay]daySum), make(map[string]bool)
	f.audit.sealed = make(map[string]map[int32]sealed.Day)
	for _, table := range f.tables.All() {
		f.audit.sealed[table.Project()] = table.SealedDays()
	}
}

// sum adds an entry to the sums of its days, if they are sealed.
func (f *Follower) sum(entry store.Batch) {
	days := f.audit.sealed[entry.Project]
	if entry.Stored == 0 || len(days) == 0 || entry.Pruned > 0 && len(entry.Days) == 0 {
		return
	}
	f.audit.vague[entry.Project] = f.audit.vague[entry.Project] || len(entry.Days) == 0
	for _, day := range entry.Days {
		if _, is := days[day]; !is {
			continue
		}
		at := projectDay{entry.Project, day}
		s := f.audit.sums[at]
		s.batches += sealed.BatchSum(entry.ID)
		s.shared = s.shared || len(entry.Days) > 1
		s.erased = s.erased || entry.Erased > 0
		if len(entry.Days) == 1 {
			s.rows += entry.Stored - entry.Pruned
		}
		f.audit.sums[at] = s
	}
}

// compareDays compares the days that were sealed all the while with the
// journal's sums. One that differs is built again from its raw events.
func (f *Follower) compareDays() {
	unlike := 0
	for _, table := range f.tables.All() {
		project := table.Project()
		if f.audit.vague[project] {
			continue
		}
		now := table.SealedDays()
		for number, day := range f.audit.sealed[project] {
			s := f.audit.sums[projectDay{project, number}]
			if now[number] != day || s.erased || s.batches == day.Batches && (s.rows == day.Rows || s.shared && s.rows < day.Rows) {
				continue
			}
			unlike++
			if table.Doubt(day) {
				f.log.Warn("a sealed day is not as the journal says; building it again from its events",
					zap.String("project", project), zap.Int32("day", number), zap.Int("sealed", day.Rows), zap.Int("journal", s.rows))
			}
		}
	}
	f.metrics.auditUnlike.Set(float64(unlike))
}

// closeAudit reports one whole comparison and begins the next.
func (f *Follower) closeAudit() {
	f.metrics.auditMissing.Set(float64(f.audit.missing))
	f.metrics.auditSurplus.Set(float64(f.audit.surplus))
	if f.audit.missing+f.audit.surplus > 0 {
		f.log.Warn("the events in memory are not those of the journal",
			zap.Int("missing", f.audit.missing), zap.Int("surplus", f.audit.surplus))
	}
	f.compareDays()
	f.audit = audit{}
}
