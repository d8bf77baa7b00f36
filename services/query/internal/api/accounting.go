package api

import (
	"context"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/account"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/report"
)

// accountingSince asks from when on.
type accountingSince struct {
	Since event.Time `json:"since"` // by the clocks of the consumers; null: from the beginning
}

// Complete is false: more events come to be stored.
func (accountingSince) Complete() bool { return false }

// accountingRange asks of which hours.
type accountingRange struct {
	From     event.Time `json:"from"`
	To       event.Time `json:"to"`
	Timezone string     `json:"timezone"`
	Devices  bool       `json:"devices"` // list those with most gaps
}

// Complete is false: who knows how long events wait in the queue.
func (accountingRange) Complete() bool { return false }

// accounting adds up the journal itself, not the columns: it is the proof that
// what a collector accepted was stored, also while the columns still follow.
func (a *API) accounting(p *report.Params, env report.Env) (any, runner, error) {
	span := p.Span(env)
	ranged := p.Has("from") || p.Has("to") || p.Has("days")
	since, err := writtenSince(p)
	devices := p.Bool("devices", false)
	switch {
	case err != nil:
		return nil, nil, err
	case !ranged && devices:
		return nil, nil, fault.Field("devices", "goes with from, to or days")
	case !ranged:
		q := accountingSince{since}
		return q, func(ctx context.Context, v *columns.View) (any, error) { return a.accountSince(ctx, v.Project, q) }, p.Done()
	case since != 0:
		return nil, nil, fault.Field("since", "says when entries of the journal were written, from, to and days when events came: give one or the other")
	}
	q := accountingRange{span.From, span.To, span.Timezone, devices}
	return q, func(ctx context.Context, v *columns.View) (any, error) { return a.accountHours(ctx, v, q) }, p.Done()
}

func writtenSince(p *report.Params) (event.Time, error) {
	text := p.String("since", "")
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fault.Field("since", "must be an RFC 3339 time such as 2026-01-31T12:00:00Z, got %q", text)
	}
	return event.TimeOf(t), nil
}

func (a *API) accountSince(ctx context.Context, project string, q accountingSince) (any, error) {
	sum, err := account.Since(ctx, a.options.Accounts, project, q.Since)
	return struct {
		*account.Totals
		Definition map[string]string `json:"definition"`
	}{sum, map[string]string{
		"stored":        "accepted events that were new",
		"duplicates":    "accepted events whose event_id was there before",
		"dead_lettered": "accepted events that cannot be stored as they are",
		"erased":        "events among those stored that were erased since",
		"pruned":        "events among those stored that were deleted since, because the project keeps them no longer",
		"since":         "entries of the journal written at that moment or later; an erasure writes those of its events again",
	}}, err
}

func (a *API) accountHours(ctx context.Context, v *columns.View, q accountingRange) (any, error) {
	now := event.TimeOf(a.now())
	hour := func(t event.Time) int32 { return max(0, min(t, now+24*event.TimeOfHour(1))).Hour() } // a collector's clock may be fast
	first, last := hour(q.From), hour(q.To)
	sheet, err := account.Of(ctx, a.options.Accounts, v.Project, first, last, now)
	if err != nil {
		return nil, err
	}
	gaps, err := account.GapsOf(ctx, v, event.TimeOfHour(first), event.TimeOfHour(last+1)-1, q.Devices)
	return struct {
		*account.Sheet
		SequenceGaps *account.Gaps     `json:"sequence_gaps"`
		Definition   map[string]string `json:"definition"`
	}{sheet, gaps, map[string]string{
		"range":          "whole hours of UTC in which requests came, the first and the last included",
		"accepted":       "events that collectors say they answered with 200",
		"rejected":       "events refused for good, by the code of their first problem; a request that was refused before it was read counts as one",
		"stored":         "events that were new",
		"duplicates":     "events whose event_id was there before",
		"dead_lettered":  "events that cannot be stored as they are, discarded ones included, replayed ones not",
		"erased":         "events among those stored that were erased since, of batches that have any in these hours",
		"pruned":         "likewise: stored, and deleted since because the project keeps them no longer",
		"queued":         "accepted and not in the journal, in an hour of which a collector has spoken within " + account.Grace.String() + ": on their way",
		"dropped_by_sdk": "events that the SDK itself had to drop and never sent, by reason, as stored events say in properties.$dropped, at the hour in which the first such event came; in no other number",
		"sequence_gaps":  "over events whose timestamp is in these hours: devices (anonymous_id) with numbered events (properties.$sequence), and the numbers between a device's lowest and highest that no stored event has: dropped by the SDK, as many as the device says itself (reported_dropped), or on the device still, or rejected, or lost before they came here; in no other number",
		"unclaimed":      "in the journal though no collector has said that it accepted them: not yet, or it was killed before it could, or it answered 503 in doubt, or it is of a version that says nothing, or what it said is deleted, long after it added up (QUERY_TALLIES_KEPT)",
		"difference":     "accepted − stored − duplicates − dead_lettered − queued + unclaimed: accepted events of which nobody knows what became; anything but 0 is a loss",
	}}, err
}
