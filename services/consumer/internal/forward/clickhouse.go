package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

// clickhouse inserts into the columns that the table has of what is sent. The
// batch's id is the deduplication token: tables that keep a window of them
// (replicated ones do by themselves) take a batch once.
type clickhouse struct {
	client   Doer
	settings *destination.ClickHouse
	address  string
	password string
	shape    *destination.Shape
}

func (o *opening) clickhouse(s *destination.ClickHouse) (Target, error) {
	password, err := o.secret("password", s.Password)
	return &clickhouse{&http.Client{Transport: o.near()}, s, s.URL, password, &o.definition.Shape}, err
}

func (t *clickhouse) Limits() Limits {
	return Limits{Events: t.settings.Batch, Bytes: 32 << 20, Exact: true}
}

func (t *clickhouse) Encode(e *event.Event) ([]byte, error) {
	return append(t.shape.AppendJSON(nil, e), '\n'), nil
}

func (t *clickhouse) Send(ctx context.Context, b Batch) error {
	var body bytes.Buffer
	for _, item := range b.Items {
		body.Write(item.Body)
	}
	query := url.Values{
		"query":                            {fmt.Sprintf("INSERT INTO `%s`.`%s` FORMAT JSONEachRow", t.settings.Database, t.settings.Table)},
		"insert_deduplication_token":       {b.ID},
		"input_format_skip_unknown_fields": {"1"},
		"date_time_input_format":           {"best_effort"},
		"async_insert":                     {"0"},
		"wait_end_of_query":                {"1"}, // the status is of the whole insert, not of its beginning
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.address+"?"+query.Encode(), &body)
	if err != nil {
		return err
	}
	r.Header.Set("X-ClickHouse-User", t.settings.Username)
	r.Header.Set("X-ClickHouse-Key", t.password)
	exceptions := &exceptionOf{Doer: t.client}
	_, err = request(exceptions, r)
	if e := (*fault.Error)(nil); errors.As(err, &e) {
		e.Kind = fault.Unavailable
		if slices.Contains(wrongRows, exceptions.code) {
			e.Kind = fault.Invalid
		}
	}
	return err
}

// wrongRows are ClickHouse's codes of errors that are in the rows, not in the
// statement, the table or the server: parsing, ranges, types, nulls.
var wrongRows = []int{6, 26, 27, 32, 38, 41, 53, 69, 70, 72, 117, 131, 190, 321, 349, 467, 469}

// exceptionOf remembers the code of the last answer.
type exceptionOf struct {
	Doer
	code int
}

func (e *exceptionOf) Do(r *http.Request) (*http.Response, error) {
	answer, err := e.Doer.Do(r)
	if err == nil {
		e.code, _ = strconv.Atoi(answer.Header.Get("X-ClickHouse-Exception-Code"))
	}
	return answer, err
}

func (t *clickhouse) Close() error { return nil }
