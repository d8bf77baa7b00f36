package beside

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client asks the query service as an analyst's program does.
type Client struct {
	url  string
	http *http.Client
}

// NewClient asks at a URL.
func NewClient(url string) Client {
	return Client{url, &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}}}
}

// Ask is an answer and how long it took, its last byte included.
func (c Client) Ask(ctx context.Context, route, body string) (answer []byte, took time.Duration, err error) {
	start := time.Now()
	status, answer, err := c.post(ctx, c.url+"/api/v1/analytics/"+route, ReadKey, body)
	took = time.Since(start)
	if err == nil && status != http.StatusOK {
		err = &refusal{route, status, answer}
	}
	return answer, took, err
}

// refusal is an answer that is none.
type refusal struct {
	route  string
	status int
	answer []byte
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %d: %s", r.route, r.status, r.answer) }

func (c Client) post(ctx context.Context, url, key, body string) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("X-Api-Key", key)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	var text bytes.Buffer
	_, err = io.Copy(&text, response.Body)
	return response.StatusCode, text.Bytes(), err
}
