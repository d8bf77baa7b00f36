package cases

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

func stickiness(raw json.RawMessage) (Case, error) {
	var given struct {
		header
		Query struct {
			Event         any    `json:"event"`
			Interval      string `json:"interval"`
			IntervalCount int    `json:"interval_count"`
			Filters       []any  `json:"filters"`
			WeekStart     string `json:"week_start"`
			span
		} `json:"query"`
		Expect struct {
			Buckets       int   `json:"buckets"`
			Data          []int `json:"data"`
			DistinctUsers *int  `json:"distinct_users"`
		} `json:"expect"`
	}
	if err := strictly(raw, &given); err != nil {
		return Case{}, err
	}
	q := given.Query
	body := map[string]any{"event": anyEvent(q.Event), "interval": q.Interval}
	if q.IntervalCount > 0 {
		body["interval_count"] = q.IntervalCount
	}
	if q.Filters != nil {
		body["filters"] = q.Filters
	}
	if q.WeekStart != "" {
		body["week_start"] = q.WeekStart
	}
	if q.Interval == "hour" && !strings.Contains(q.DateTo, "T") {
		q.DateTo += "T00:00:00Z" // there a date is its first hour, in the contract its whole day
	}
	q.put(body, given.Events)
	c := given.newCase()
	c.Asks = []Ask{{"stickiness", body, 200, func(text []byte) error {
		got, err := answer[struct {
			Data []int `json:"data"`
		}](text)
		users := 0
		for _, n := range got.Data {
			users += n
		}
		if given.Expect.DistinctUsers != nil {
			err = errors.Join(err, differ("users", users, *given.Expect.DistinctUsers))
		}
		return errors.Join(err, differ("buckets", len(got.Data), given.Expect.Buckets), differ("data", got.Data, given.Expect.Data))
	}}}
	return c, nil
}

// paths maps page views with the property $current_url to page_view events of that page.
func paths(raw json.RawMessage) (Case, error) {
	var given struct {
		header
		Query struct {
			Item    string `json:"item"`
			Start   any    `json:"start"`
			End     any    `json:"end"`
			Steps   int    `json:"steps"`
			Limit   int    `json:"limit"`
			Filters []any  `json:"filters"`
			span
		} `json:"query"`
		Expect [][3]any `json:"expect"`
	}
	if err := strictly(raw, &given); err != nil {
		return Case{}, err
	}
	q := given.Query
	body := map[string]any{"by": "page_path"}
	if q.Item != "$current_url of $pageview" {
		return Case{}, fmt.Errorf("item %q is not mapped", q.Item)
	}
	for name, v := range map[string]any{"start": q.Start, "end": q.End} {
		if v != nil {
			body[name] = v
		}
	}
	for name, v := range map[string]int{"steps": q.Steps, "limit": q.Limit} {
		if v > 0 {
			body[name] = v
		}
	}
	if q.Filters != nil {
		body["filters"] = q.Filters
	}
	q.put(body, given.Events)
	c := given.newCase()
	for i := range c.Events {
		var page struct {
			URL string `json:"$current_url"`
		}
		if err := json.Unmarshal(c.Events[i].Properties, &page); err != nil {
			return Case{}, err
		}
		c.Events[i].EventType, c.Events[i].PageURL = "page_view", "https://site.example"+page.URL
	}
	c.Asks = []Ask{{"paths", body, 200, func(text []byte) error {
		got, err := answer[struct {
			Edges []struct {
				From  string `json:"from"`
				To    string `json:"to"`
				Users int    `json:"users"`
			} `json:"edges"`
		}](text)
		edges := [][3]any{}
		for _, e := range got.Edges {
			edges = append(edges, [3]any{e.From, e.To, e.Users})
		}
		return errors.Join(err, differ("edges", edges, given.Expect))
	}}}
	return c, nil
}
