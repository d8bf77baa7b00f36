package follow

import (
	"context"
	"fmt"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"go.uber.org/zap"
)

// audit compares what is in with what the journal says, entry by entry. A
// journal of any length is gone through part by part, then from the beginning
// again; a short one in one go.
type audit struct {
	at      store.Cursor
	missing int // events that the journal names and that were not in, so far
	surplus int // events that are in beyond what the journal names, so far
}

// auditPages is how much of the journal one part of the audit reads.
const auditPages = 20

// auditSome does the next part when it is due.
func (f *Follower) auditSome(ctx context.Context, now time.Time) error {
	if now.Before(f.auditAt) {
		return nil
	}
	f.auditAt = now.Add(f.options.Audit)
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

// closeAudit reports one whole comparison and begins the next.
func (f *Follower) closeAudit() {
	f.metrics.auditMissing.Set(float64(f.audit.missing))
	f.metrics.auditSurplus.Set(float64(f.audit.surplus))
	if f.audit.missing+f.audit.surplus > 0 {
		f.log.Warn("the events in memory are not those of the journal",
			zap.Int("missing", f.audit.missing), zap.Int("surplus", f.audit.surplus))
	}
	f.audit = audit{}
}
