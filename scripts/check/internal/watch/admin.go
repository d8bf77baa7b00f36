package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Admin asks the query service as an administrator.
type Admin struct{ URL, Key string }

// Make makes all that a plan has.
func (a *Admin) Make(ctx context.Context, p *Plan) error {
	for _, project := range p.Projects {
		for _, t := range p.made(project) {
			if err := a.ask(ctx, http.MethodPost, project, t.where, t.definition, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

const page = 1000

// Notices are all of a project.
func (a *Admin) Notices(ctx context.Context, project string) (all []Notice, err error) {
	for cursor := ""; ; {
		var answer struct {
			Notices []Notice `json:"notices"`
			Next    *string  `json:"next_cursor"`
		}
		question := url.Values{"limit": {fmt.Sprint(page)}}
		if cursor != "" {
			question.Set("cursor", cursor)
		}
		if err := a.ask(ctx, http.MethodGet, project, "notices?"+question.Encode(), nil, &answer); err != nil {
			return nil, err
		}
		all = append(all, answer.Notices...)
		if answer.Next == nil {
			return all, nil
		}
		cursor = *answer.Next
	}
}

// Destinations are all of a project.
func (a *Admin) Destinations(ctx context.Context, project string) ([]Destination, error) {
	var answer struct {
		Destinations []Destination `json:"destinations"`
	}
	err := a.ask(ctx, http.MethodGet, project, "destinations", nil, &answer)
	return answer.Destinations, err
}

func (a *Admin) ask(ctx context.Context, method, project, what string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.URL+"/api/v1/admin/projects/"+project+"/"+what, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("X-Api-Key", a.Key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s of %s: %w", method, what, project, err)
	}
	defer res.Body.Close()
	if text, err = io.ReadAll(res.Body); err != nil {
		return fmt.Errorf("%s %s of %s: %w", method, what, project, err)
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s of %s: %s: %.300s", method, what, project, res.Status, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s %s of %s: %w in %.300s", method, what, project, err, text)
	}
	return nil
}
