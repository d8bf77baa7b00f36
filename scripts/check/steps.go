package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"maidian-check/internal/ledger"
	"maidian-check/internal/load"
	"maidian-check/internal/stored"
	"maidian-check/internal/sums"
	"maidian-check/internal/verdict"
)

// load sends. Interrupted, it sends nothing new and waits for the answers that are due.
func (s *settings) load(ctx context.Context) error {
	o, err := s.loadOptions()
	if err != nil {
		return err
	}
	s.plan.Projects, s.plan.Now = s.projects.names, ledger.Now()
	book, err := ledger.Create(s.ledger, &s.plan)
	if err != nil {
		return err
	}
	err = load.Run(ctx, &s.plan, o, book)
	return errors.Join(err, book.Close())
}

// judge waits for quiet, reads the store and asks the query service.
func (s *settings) judge(ctx context.Context, out io.Writer) error {
	var since time.Time
	if s.since != "" {
		var err error
		if since, err = time.Parse(time.RFC3339Nano, s.since); err != nil {
			return fmt.Errorf("-resumed-after: %w", err)
		}
	}
	book, err := ledger.Read(s.ledger)
	if err != nil {
		return err
	}
	store, err := stored.Open(ctx, s.store)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	unrest, stranded, err := s.settle(ctx, store)
	if err != nil {
		return err
	}
	r, people, err := verdict.Judge(ctx, book, store, since)
	if err != nil {
		return err
	}
	if unrest != "" {
		r.Found(verdict.Unsettled, unrest)
	}
	if stranded > 0 {
		r.Found(verdict.Queue, fmt.Sprintf("%d messages lie in the broker's dead-letter queue", stranded))
	}
	if s.query != "" {
		if err := s.compare(ctx, r, people, book); err != nil {
			return err
		}
	}
	if s.watched != "" {
		if err := s.follow(ctx, r, store); err != nil {
			return err
		}
	}
	if err := s.print(out, r); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		return errBroken
	}
	return nil
}

// settle waits until the queues are empty and nothing has changed for a
// while. Unrest says why that did not come to pass.
func (s *settings) settle(ctx context.Context, store stored.Store) (unrest string, stranded int, err error) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	began, changed := time.Now(), time.Now()
	var last state
	for {
		now, err := s.look(ctx, store)
		if err != nil {
			return "", 0, err
		}
		if now != last || now.Waiting > 0 {
			last, changed = now, time.Now()
		}
		switch {
		case time.Since(changed) >= s.quiet:
			return "", last.Stranded, nil
		case time.Since(began) > s.limit:
			return fmt.Sprintf("after %s: %d messages wait in the queue, %d events are stored", s.limit, last.Waiting, last.Events), last.Stranded, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", 0, ctx.Err()
		}
	}
}

// state is all of which no change means quiet.
type state struct {
	stored.Size
	stored.Queues
}

func (s *settings) look(ctx context.Context, store stored.Store) (now state, err error) {
	if now.Size, err = store.Size(ctx); err != nil {
		return now, fmt.Errorf("read the store: %w", err)
	}
	if s.amqp != "" {
		now.Queues, err = stored.ReadQueues(ctx, s.amqp, s.queue)
	}
	return now, err
}

// followWithin is how long the query service may take until it shows all that is stored.
const followWithin = 30 * time.Second

// compare asks until the answers are right: the service follows the store, and
// only at the end of its time is a difference one.
func (s *settings) compare(ctx context.Context, r *report, people map[string]*sums.Project, book *ledger.Ledger) error {
	now := time.UnixMilli(book.Plan.Now).UTC()
	midnight := now.Truncate(24 * time.Hour)
	days := sums.Range{From: midnight.AddDate(0, 0, -book.Plan.Days), To: midnight.AddDate(0, 0, 1)}
	query := &sums.Query{URL: s.query, ReadKeys: s.projects.read}
	deadline := time.Now().Add(followWithin)
	for name, p := range people {
		for {
			differences, err := query.Differences(ctx, name, p, days)
			if err == nil && len(differences) == 0 {
				break
			}
			if time.Now().After(deadline) {
				if err != nil {
					return err
				}
				r.Found(verdict.Query, differences...)
				break
			}
			select {
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
