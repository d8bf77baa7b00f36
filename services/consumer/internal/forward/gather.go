package forward

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
)

// leastGathered is how many events are worth a look at the journal, however small batches are.
const leastGathered = 2000

// gather is what is sent next; nil when there is nothing.
func (p *pump) gather(ctx context.Context) (*destination.Group, error) {
	if p.resend != nil {
		return p.gatherLetters(ctx)
	}
	entries, err := p.gatherEntries(ctx)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	g := &destination.Group{At: int64(entries[len(entries)-1].WrittenAt)}
	for i := range entries {
		g.Batches = append(g.Batches, entries[i].ID)
		g.Stored += int64(entries[i].Stored)
	}
	g.ID = g.Batches[0] + "-" + sumOf(g.Batches)
	return g, nil
}

// sumOf some ids is part of a group's own, so that others never have the same.
func sumOf(ids []string) string {
	all := sha256.New()
	for _, id := range ids {
		fmt.Fprintln(all, id)
	}
	return hex.EncodeToString(all.Sum(nil)[:6])
}

// gatherEntries are the next entries of the project: as many as make a batch, or
// those that there are once the first of them has waited long enough.
func (p *pump) gatherEntries(ctx context.Context) (entries []store.Batch, err error) {
	events, most, ready := 0, max(p.limits.Events, leastGathered), time.Now()
	for {
		var found []store.Batch
		err := p.insist(ctx, func() (err error) {
			found, err = p.feed.Next(ctx, min(most-events, p.forwarder.most-len(entries)))
			return err
		})
		if err != nil {
			return nil, err
		}
		nothingNew, beyond := len(found) == 0, slices.ContainsFunc(found, p.isBeyond)
		found = slices.DeleteFunc(found, func(b store.Batch) bool { return b.Project != p.project || p.isBeyond(b) })
		if len(entries) == 0 && len(found) > 0 {
			ready = time.Now().Add(p.limits.Linger)
		}
		if len(found) > 0 {
			p.backlog.took(found, p.feed.Position())
		}
		entries = append(entries, found...)
		for i := range found {
			events += found[i].Stored
		}
		p.changed = p.changed || !nothingNew
		switch {
		case events >= most, len(entries) >= p.forwarder.most, beyond, nothingNew && (len(entries) == 0 || p.until != 0 || !time.Now().Before(ready)):
			return entries, nil
		case nothingNew && !proc.Pause(ctx, min(p.forwarder.look, time.Until(ready))):
			return nil, ctx.Err()
		}
	}
}

// isBeyond says whether an entry is after the range of a backfill.
func (p *pump) isBeyond(b store.Batch) bool { return p.until != 0 && b.WrittenAt > p.until }
