package report

import (
	"net/url"
	"strconv"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
)

// Params are the parameters of one request.
type Params struct{ *ask.Params }

// ParamsFromJSON reads a POST's body. An empty body is an empty object.
func ParamsFromJSON(body []byte) (*Params, error) { return wrapped(ask.ParamsFromJSON(body)) }

// ParamsFromQuery reads a GET's parameters. A value that starts with { or [ is
// JSON (filters, selectors); all else is text, numbers too.
func ParamsFromQuery(query url.Values) (*Params, error) { return wrapped(ask.ParamsFromQuery(query)) }

func wrapped(p *ask.Params, err error) (*Params, error) {
	if err != nil {
		return nil, err
	}
	return &Params{p}, nil
}

const (
	second = event.Time(1000)
	hour   = 3600 * second
	day    = 24 * hour

	// forever is later than any event.
	forever = event.Time(1<<63 - 1)
)

func decimal[N int | int64 | event.Time](n N) string { return strconv.FormatInt(int64(n), 10) }
