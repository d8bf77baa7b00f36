package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/maidian/maidian/services/allinone/internal/ask"
	"github.com/maidian/maidian/services/allinone/internal/importer"
	"github.com/maidian/maidian/services/allinone/internal/table"
)

// show asks the query service the three questions every shop has.
func (s *shop) show(ctx context.Context, w io.Writer, c ask.Client) error {
	for _, table := range []func(context.Context, io.Writer, ask.Client) error{s.funnel, s.retention, s.pages} {
		if err := table(ctx, w, c); err != nil {
			return err
		}
	}
	return nil
}

// asking is a question about all of the shop's days.
func (s *shop) asking(more map[string]any) map[string]any {
	more["from"], more["to"] = s.from.Format(time.DateOnly), s.to.Format(time.DateOnly)
	return more
}

func (s *shop) days() string {
	return s.from.Format(time.DateOnly) + " to " + s.to.Format(time.DateOnly)
}

func (s *shop) funnel(ctx context.Context, w io.Writer, c ask.Client) error {
	var answer struct {
		Steps []struct {
			Step   string   `json:"step"`
			Users  int      `json:"users"`
			Rate   float64  `json:"conversion_rate"`
			Step1  float64  `json:"step_conversion_rate"`
			Lost   int      `json:"drop_off"`
			Median *float64 `json:"median_seconds"`
		} `json:"funnel_steps"`
	}
	if err := c.Post(ctx, "funnel", s.asking(map[string]any{"steps": s.steps, "window": "14d"}), &answer); err != nil {
		return err
	}
	t := table.Table{
		Title:  "Funnel, within 14 days, " + s.days(),
		Header: []string{"step", "users", "of all", "of step before", "lost", "median time"}, Left: 1,
	}
	for _, step := range answer.Steps {
		median := ""
		if step.Median != nil {
			median = (time.Duration(*step.Median) * time.Second).String()
		}
		t.Add(step.Step, importer.Thousands(step.Users), percent(step.Rate), percent(step.Step1), importer.Thousands(step.Lost), median)
	}
	return t.Write(w)
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) + " %" }

func (s *shop) retention(ctx context.Context, w io.Writer, c ask.Client) error {
	var answer struct {
		Cohorts []struct {
			Start    string `json:"start"`
			Size     int    `json:"size"`
			Values   []int  `json:"values"`
			Complete []bool `json:"complete"`
		} `json:"cohorts"`
	}
	const intervals = 8
	question := s.asking(map[string]any{"period": "week", "intervals": intervals, "cohort": "first_time"})
	if err := c.Post(ctx, "retention", question, &answer); err != nil {
		return err
	}
	t := table.Table{Title: "Retention: of the users first seen in a week, how many came back in the weeks after (* the week is not over)", Header: []string{"week of", "users"}, Left: 1}
	for i := 1; i < intervals; i++ {
		t.Header = append(t.Header, fmt.Sprintf("week %d", i))
	}
	for _, cohort := range answer.Cohorts {
		row := make([]string, len(t.Header))
		row[0], row[1] = cohort.Start[:min(10, len(cohort.Start))], importer.Thousands(cohort.Size)
		for i := 1; i < len(cohort.Values) && cohort.Size > 0; i++ {
			row[1+i] = percent(100 * float64(cohort.Values[i]) / float64(cohort.Size))
			if !cohort.Complete[i] {
				row[1+i] += "*"
			}
		}
		t.Add(row...)
	}
	return t.Write(w)
}

// pages shows page views by URL; a shop that sends none names its events after
// its pages, and those are shown instead.
func (s *shop) pages(ctx context.Context, w io.Writer, c ask.Client) error {
	var answer struct {
		Pages []struct {
			URL    string  `json:"page_url"`
			Views  int     `json:"views"`
			Users  int     `json:"users"`
			Bounce float64 `json:"bounce_rate"`
			Exit   float64 `json:"exit_rate"`
		} `json:"pages"`
	}
	if err := c.Post(ctx, "stats/pages", s.asking(map[string]any{"limit": 10}), &answer); err != nil {
		return err
	}
	if len(answer.Pages) == 0 {
		return s.eventsAsPages(ctx, w, c)
	}
	t := table.Table{Title: "Top pages", Header: []string{"page", "views", "users", "bounce", "exit"}, Left: 1}
	for _, p := range answer.Pages {
		t.Add(p.URL, importer.Thousands(p.Views), importer.Thousands(p.Users), percent(p.Bounce), percent(p.Exit))
	}
	return t.Write(w)
}

func (s *shop) eventsAsPages(ctx context.Context, w io.Writer, c ask.Client) error {
	var answer struct {
		Types []struct {
			Type  string `json:"event_type"`
			Count int    `json:"count"`
			Users int    `json:"users"`
		} `json:"by_type"`
	}
	if err := c.Post(ctx, "stats/events", s.asking(map[string]any{}), &answer); err != nil {
		return err
	}
	t := table.Table{Title: "Top pages (this shop's events are named after its pages)", Header: []string{"page", "views", "users"}, Left: 1}
	for _, e := range answer.Types[:min(10, len(answer.Types))] {
		t.Add(e.Type, importer.Thousands(e.Count), importer.Thousands(e.Users))
	}
	return t.Write(w)
}
