// Package ask puts questions to a query service.
package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Client asks with a key: a project's read key, or the admin key.
type Client struct{ URL, Key string }

// Post asks for a report, such as "funnel", with its parameters, and decodes
// the answer into out.
func (c Client) Post(ctx context.Context, report string, parameters, out any) error {
	return c.Do(ctx, http.MethodPost, "/api/v1/analytics/"+report, parameters, out)
}

// Do sends any request; body may be nil.
func (c Client) Do(ctx context.Context, method, path string, body, out any) error {
	var text io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, text)
	if err != nil {
		return err
	}
	req.Header.Set("X-Api-Key", c.Key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusMultipleChoices {
		return refused(path, res)
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("%s: read the answer: %w", path, err)
	}
	return nil
}

// refused says in the service's own words why there is no answer.
func refused(path string, res *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return fmt.Errorf("%s: %s: %w", path, res.Status, err)
	}
	var answer struct {
		Error struct{ Message string }
	}
	if json.Unmarshal(text, &answer) == nil && answer.Error.Message != "" {
		text = []byte(answer.Error.Message)
	}
	return fmt.Errorf("%s: %s: %s", path, res.Status, strings.TrimSpace(string(text)))
}
