package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"maidian-check/internal/follow"
	"maidian-check/internal/ledger"
	"maidian-check/internal/receiver"
	"maidian-check/internal/stored"
	"maidian-check/internal/verdict"
	"maidian-check/internal/watch"
)

const (
	window    = 5 * time.Second
	every     = 3 * time.Second
	hour      = 60 * 60 * 1000
	pages     = 20  // that the load's events are spread over
	happening = 0.2 // share of the load's events that happen about when they come
)

// define has everything made, and keeps what it was.
func (s *settings) define(ctx context.Context) error {
	w := &s.watch
	if len(s.projects.names) == 0 || w.Receiver == "" || s.admin.Key == "" {
		return errors.New("-project, -receiver and -admin-key are needed")
	}
	usual := s.rate / float64(len(s.projects.names)) * happening / pages * window.Seconds()
	w.Many = max(2, int(usual+1.5*math.Sqrt(usual)))
	w.Window, w.Grace, w.Every = window.Milliseconds(), s.grace.Milliseconds(), every.Milliseconds()
	w.Old = int64(s.plan.Days+2) * 24 * hour
	w.At, w.Projects, w.Secrets = ledger.Now(), s.projects.names, []string{rand.Text(), rand.Text()}
	if err := w.Write(s.watched); err != nil {
		return err
	}
	s.admin.URL = s.query
	return s.admin.Make(ctx, w)
}

// receive listens until it is told to end.
func (s *settings) receive(ctx context.Context) error {
	w, err := watch.Read(s.watched)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.arrivals, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: receiver.New(w.Secrets, s.manner, log), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// follow asks until all is right and nothing arrives any more: what follows the
// stored events takes its time, and only at the end of it a difference is one.
func (s *settings) follow(ctx context.Context, r *verdict.Report, store stored.Store) error {
	c, err := s.follower(ctx, store)
	if err != nil {
		return err
	}
	deadline, arrived, since := time.Now().Add(s.within), 0, time.Now()
	for {
		asked := time.Now()
		if err := s.ask(ctx, c, store); err != nil {
			return err
		}
		findings, followed := c.Judge()
		if len(c.Arrivals) != arrived {
			arrived, since = len(c.Arrivals), time.Now()
		}
		if len(findings) == 0 && time.Since(since) >= s.quiet || time.Now().After(deadline) {
			r.Findings, r.Followed = append(r.Findings, findings...), &followed
			return nil
		}
		select {
		case <-time.After(max(time.Second, 2*time.Since(asked))): // the system needs the processors, too
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *settings) follower(ctx context.Context, store stored.Store) (*follow.Case, error) {
	if s.query == "" || s.admin.Key == "" || s.arrivals == "" || s.files == "" {
		return nil, errors.New("-watch needs -query, -admin-key, -arrivals and -files")
	}
	s.admin.URL = s.query
	w, err := watch.Read(s.watched)
	if err != nil {
		return nil, err
	}
	c := &follow.Case{Plan: w, Skew: s.skew.Milliseconds(), Breaks: s.breaks}
	if err := c.Read(ctx, store); err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	return c, nil
}

// ask takes what has become of the events by now.
func (s *settings) ask(ctx context.Context, c *follow.Case, store stored.Store) (err error) {
	c.Notices, c.Targets = map[string][]watch.Notice{}, map[string][]watch.Destination{}
	for _, project := range c.Plan.Projects {
		if c.Notices[project], err = s.admin.Notices(ctx, project); err != nil {
			return err
		}
		if c.Targets[project], err = s.admin.Destinations(ctx, project); err != nil {
			return err
		}
	}
	if c.Firings, err = follow.FiringsOf(ctx, store); err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	if c.Holders, err = follow.HoldersOf(ctx, store); err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	if c.Arrivals, err = receiver.Read(s.arrivals); err != nil {
		return err
	}
	c.Files, err = follow.ReadFiles(s.files)
	return err
}
