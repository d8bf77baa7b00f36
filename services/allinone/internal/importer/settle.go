package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Accounts are a project's sums over the journal: what has become of every
// event that the collector ever accepted for it.
type Accounts interface {
	Totals(ctx context.Context) (Totals, error)
}

// Totals count events.
type Totals struct {
	Stored       int `json:"stored"`
	Duplicates   int `json:"duplicates"`
	DeadLettered int `json:"dead_lettered"`
}

func (t Totals) sum() int { return t.Stored + t.Duplicates + t.DeadLettered }

func (t Totals) since(before Totals) Totals {
	return Totals{t.Stored - before.Stored, t.Duplicates - before.Duplicates, t.DeadLettered - before.DeadLettered}
}

// Settled is the difference that an import made to the accounts.
type Settled struct {
	Totals
	Unknown error // why the figures are not known, or not complete
}

// Mixed says that more events were settled than this import sent: somebody
// else was sending to the project, and the figures hold theirs too.
func (s Settled) Mixed(accepted int) bool { return s.sum() > accepted }

// before are the accounts when nothing of this import has been sent. The
// collector cannot know duplicates: only the store does, and the journal keeps it.
func (j *job) before(ctx context.Context) (Totals, error) {
	if j.Accounts == nil {
		return Totals{}, errors.New("no query service to ask")
	}
	return j.Accounts.Totals(ctx)
}

// settle waits until the journal tells of as many events as were accepted.
func (j *job) settle(ctx context.Context, before Totals, accepted int) (Settled, error) {
	var s Settled
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for moved := time.Now(); ; {
		now, err := j.Accounts.Totals(ctx)
		if made := now.since(before); err == nil && made != s.Totals {
			s.Totals, moved = made, time.Now()
		}
		switch {
		case s.sum() >= accepted:
			return s, nil
		case time.Since(moved) > j.Patience:
			return s, fmt.Errorf("%s events are still in the queue", Thousands(accepted-s.sum()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// QueryAccounts reads the accounts from a query service. They begin a little
// before the first question, so that a long journal is not added up each time.
type QueryAccounts struct {
	URL, Key string

	since string
}

// overlap is how far the clocks of those who write the journal may differ.
const overlap = time.Minute

// Totals are the project's accounts now.
func (q *QueryAccounts) Totals(ctx context.Context) (t Totals, err error) {
	if q.since == "" {
		now, err := q.ask(ctx, "9999-12-31T00:00:00Z") // sums of nothing, and the service's own time
		if err != nil {
			return t, err
		}
		q.since = now.Freshness.AsOf.Add(-overlap).UTC().Format(time.RFC3339)
	}
	a, err := q.ask(ctx, q.since)
	return a.Totals, err
}

type accounts struct {
	Totals
	Freshness struct {
		AsOf time.Time `json:"as_of"`
	} `json:"freshness"`
}

func (q *QueryAccounts) ask(ctx context.Context, since string) (a accounts, err error) {
	address := strings.TrimSuffix(q.URL, "/") + "/api/v1/analytics/accounting?since=" + url.QueryEscape(since)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return a, err
	}
	req.Header.Set("X-Api-Key", q.Key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 300))
		return a, fmt.Errorf("the query service at %s answers %s: %s", q.URL, res.Status, strings.TrimSpace(string(text)))
	}
	return a, json.NewDecoder(res.Body).Decode(&a)
}
