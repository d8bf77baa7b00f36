package sums

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// Query is the query service.
type Query struct {
	URL      string
	ReadKeys map[string]string // by project
}

// What is asked of every project.
const (
	startEvent = "page_view"
	againEvent = "product_view"
	window     = 3 * 24 * time.Hour
)

var funnelSteps = []string{"page_view", "product_view", "purchase"}

// Differences are what the service answers otherwise than the sums say, in
// words; none when it is right.
func (q *Query) Differences(ctx context.Context, name string, p *Project, r Range) ([]string, error) {
	var all []string
	for _, compare := range []func(context.Context, string, *Project, Range) ([]string, error){q.totals, q.funnel, q.retention} {
		found, err := compare(ctx, name, p, r)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func (q *Query) totals(ctx context.Context, name string, p *Project, r Range) (found []string, err error) {
	var answer struct {
		Total  int `json:"total"`
		ByType []struct {
			Type  string `json:"event_type"`
			Count int    `json:"count"`
			Users int    `json:"users"`
		} `json:"by_type"`
	}
	if err := q.ask(ctx, name, "stats/events", r, nil, &answer); err != nil {
		return nil, err
	}
	want, total := p.Totals(r), 0
	for _, c := range want {
		total += c.Events
	}
	if answer.Total != total {
		found = append(found, fmt.Sprintf("%s: %d events in total, want %d", name, answer.Total, total))
	}
	for _, t := range answer.ByType {
		if got := (Count{t.Count, t.Users}); got != want[t.Type] {
			found = append(found, fmt.Sprintf("%s: %s has %d events of %d users, want %d of %d", name, t.Type, got.Events, got.Users, want[t.Type].Events, want[t.Type].Users))
		}
		delete(want, t.Type)
	}
	for missing := range want {
		found = append(found, fmt.Sprintf("%s: %s is missing", name, missing))
	}
	return found, nil
}

func (q *Query) funnel(ctx context.Context, name string, p *Project, r Range) (found []string, err error) {
	var answer struct {
		Steps []struct {
			Users int `json:"users"`
		} `json:"funnel_steps"`
	}
	question := map[string]any{"steps": funnelSteps, "window": window.Seconds()}
	if err := q.ask(ctx, name, "funnel", r, question, &answer); err != nil {
		return nil, err
	}
	var got []int
	for _, s := range answer.Steps {
		got = append(got, s.Users)
	}
	if want := p.Funnel(r, funnelSteps, window); !slices.Equal(got, want) {
		found = append(found, fmt.Sprintf("%s: the funnel %v has %v users, want %v", name, funnelSteps, got, want))
	}
	return found, nil
}

func (q *Query) retention(ctx context.Context, name string, p *Project, r Range) (found []string, err error) {
	var answer struct {
		Cohorts []struct {
			Start  string `json:"start"`
			Values []int  `json:"values"`
		} `json:"cohorts"`
	}
	want := p.Retention(r, startEvent, againEvent)
	question := map[string]any{"start_event": startEvent, "return_event": againEvent, "period": "day", "intervals": len(want)}
	if err := q.ask(ctx, name, "retention", r, question, &answer); err != nil {
		return nil, err
	}
	if len(answer.Cohorts) != len(want) {
		return []string{fmt.Sprintf("%s: retention has %d rows, want %d", name, len(answer.Cohorts), len(want))}, nil
	}
	for i, c := range answer.Cohorts {
		if !slices.Equal(c.Values, want[i]) {
			found = append(found, fmt.Sprintf("%s: retention of %s is %v, want %v", name, c.Start, c.Values, want[i]))
		}
	}
	return found, nil
}

// ask is one question about a range of days.
func (q *Query) ask(ctx context.Context, project, report string, r Range, question map[string]any, answer any) error {
	body := map[string]any{"from": Date(r.From), "to": Date(r.To), "timezone": "UTC"}
	for name, value := range question {
		body[name] = value
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.URL+"/api/v1/analytics/"+report, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("X-Api-Key", q.ReadKeys[project])
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", report, err)
	}
	defer res.Body.Close()
	if text, err = io.ReadAll(res.Body); err != nil {
		return fmt.Errorf("ask %s: %w", report, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: %s: %.300s", report, res.Status, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("ask %s: %w in %.300s", report, err, text)
	}
	return nil
}
