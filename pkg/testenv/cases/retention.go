package cases

import (
	"encoding/json"
	"errors"
	"fmt"
)

type retentionQuery struct {
	Period         string  `json:"period"`
	Intervals      int     `json:"intervals"`
	StartEvent     any     `json:"start_event"`  // null is any event
	ReturnEvent    any     `json:"return_event"` // null is any event
	Cohort         string  `json:"cohort"`
	Mode           string  `json:"mode"`
	Window         string  `json:"window"`
	MinOccurrences int     `json:"min_occurrences"`
	WeekStart      string  `json:"week_start"`
	UnitProperty   string  `json:"unit_property"`
	Filters        []any   `json:"filters"`
	StartFilters   []any   `json:"start_filters"`
	ReturnFilters  []any   `json:"return_filters"`
	Rows           *int    `json:"rows"`
	CohortIndex    *int    `json:"cohort_index"`
	Interval       *int    `json:"interval"`
	Breakdown      *string `json:"breakdown"`
	span
}

func (q *retentionQuery) body(events []givenEvent) map[string]any {
	body := map[string]any{"period": q.Period, "intervals": q.Intervals, "start_event": anyEvent(q.StartEvent), "return_event": anyEvent(q.ReturnEvent)}
	for name, v := range map[string]string{"cohort": q.Cohort, "mode": q.Mode, "window": q.Window, "week_start": q.WeekStart} {
		if v != "" {
			body[name] = v
		}
	}
	for name, v := range map[string][]any{"filters": q.Filters, "start_filters": q.StartFilters, "return_filters": q.ReturnFilters} {
		if v != nil {
			body[name] = v
		}
	}
	for name, v := range map[string]*int{"cohort_index": q.CohortIndex, "interval": q.Interval} {
		if v != nil {
			body[name] = *v
		}
	}
	if q.MinOccurrences > 0 {
		body["min_occurrences"] = q.MinOccurrences
	}
	if q.UnitProperty != "" {
		body["unit"] = map[string]any{"property": q.UnitProperty}
	}
	if q.Breakdown != nil {
		body["breakdown"] = map[string]any{"property": *q.Breakdown}
	}
	q.put(body, events)
	return body
}

func anyEvent(v any) any {
	if v == nil {
		return "*"
	}
	return v
}

// retention compares matrices. Theirs are filled with zeros after the range's
// end; ours end there.
func retention(raw json.RawMessage) (Case, error) {
	var given struct {
		header
		Query  retentionQuery `json:"query"`
		Expect struct {
			Matrix [][]int  `json:"matrix"`
			Starts []string `json:"bucket_starts"`
		} `json:"expect"`
	}
	if err := strictly(raw, &given); err != nil {
		return Case{}, err
	}
	c := given.newCase()
	c.Asks = []Ask{{"retention", given.Query.body(given.Events), 200, func(text []byte) error {
		got, err := answer[struct {
			Cohorts []struct {
				Start  string `json:"start"`
				Size   int    `json:"size"`
				Values []int  `json:"values"`
			} `json:"cohorts"`
		}](text)
		var matrix [][]int
		var starts, want []string
		for i, row := range got.Cohorts {
			if row.Size != row.Values[0] || len(row.Values) != min(given.Query.Intervals, len(got.Cohorts)-i) {
				err = errors.Join(err, fmt.Errorf("row %d has size %d and values %v", i, row.Size, row.Values))
			}
			starts = append(starts, instant(row.Start))
			matrix = append(matrix, append(row.Values, make([]int, given.Query.Intervals-len(row.Values))...))
		}
		for _, s := range given.Expect.Starts {
			want = append(want, instant(s))
		}
		if want != nil {
			err = errors.Join(err, differ("starts", starts, want))
		}
		return errors.Join(err, differ("matrix", matrix, given.Expect.Matrix))
	}}}
	return c, nil
}

func retentionUsers(raw json.RawMessage) (Case, error) {
	var given struct {
		header
		Query  retentionQuery `json:"query"`
		Expect []struct {
			User      string `json:"user"`
			Intervals []int  `json:"intervals"`
		} `json:"expect"`
	}
	if err := strictly(raw, &given); err != nil {
		return Case{}, err
	}
	type user struct {
		UserID    string `json:"user_id"`
		Intervals []int  `json:"intervals"`
	}
	want := []user{}
	for _, u := range given.Expect {
		want = append(want, user{u.User, u.Intervals})
	}
	c := given.newCase()
	c.Asks = []Ask{{"retention/users", given.Query.body(given.Events), 200, func(text []byte) error {
		got, err := answer[struct {
			Users []user `json:"users"`
		}](text)
		return errors.Join(err, differ("users", got.Users, want))
	}}}
	return c, nil
}
