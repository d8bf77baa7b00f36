package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

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
	password string
	shape    *destination.Shape
	known    url.Values // what the server knows of its settings; nil: it was not asked yet
}

func (o *opening) clickhouse(s *destination.ClickHouse) (Target, error) {
	password, err := o.secret("password", s.Password)
	return &clickhouse{client: &http.Client{Transport: o.near()}, settings: s, password: password, shape: &o.definition.Shape}, err
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
	if err := t.askSettings(ctx); err != nil {
		return err
	}
	query := url.Values{
		"query":             {fmt.Sprintf("INSERT INTO `%s`.`%s` FORMAT JSONEachRow", t.settings.Database, t.settings.Table)},
		"wait_end_of_query": {"1"}, // the status is of the whole insert, not of its beginning
	}
	maps.Copy(query, t.known)
	if t.known.Has(deduplicate) {
		query.Set(deduplicate, b.ID)
	}
	_, err := t.ask(ctx, query, &body)
	return err
}

const deduplicate = "insert_deduplication_token"

// askSettings asks which settings there are: older servers refuse those that came later.
func (t *clickhouse) askSettings(ctx context.Context) error {
	if t.known != nil {
		return nil
	}
	wanted := url.Values{
		deduplicate:                                 {""},
		"async_insert":                              {"0"},
		"date_time_input_format":                    {"best_effort"},
		"input_format_skip_unknown_fields":          {"1"},
		"input_format_json_read_objects_as_strings": {"1"},
	}
	names := slices.Sorted(maps.Keys(wanted))
	answer, err := t.ask(ctx, url.Values{}, strings.NewReader("SELECT name FROM system.settings WHERE name IN ('"+strings.Join(names, "', '")+"')"))
	if err != nil {
		return fmt.Errorf("ask for the server's settings: %w", err)
	}
	there := strings.Fields(string(answer))
	maps.DeleteFunc(wanted, func(name string, _ []string) bool { return !slices.Contains(there, name) })
	t.known = wanted
	return nil
}

// ask posts a statement, or the rows of one.
func (t *clickhouse) ask(ctx context.Context, query url.Values, body io.Reader) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.settings.URL+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-ClickHouse-User", t.settings.Username)
	r.Header.Set("X-ClickHouse-Key", t.password)
	answer, err := request(t.client, r)
	if e := (*fault.Error)(nil); errors.As(err, &e) {
		e.Kind = fault.Unavailable
		if slices.Contains(wrongRows, exceptionOf(answer)) {
			e.Kind = fault.Invalid
		}
	}
	return answer, err
}

// wrongRows are ClickHouse's codes of errors that are in the rows, not in the
// statement, the table or the server: parsing, ranges, types, nulls.
var wrongRows = []int{6, 26, 27, 32, 38, 41, 53, 69, 70, 72, 117, 131, 190, 321, 349, 467, 469}

var exceptionCode = regexp.MustCompile(`^Code: (\d+)`)

// exceptionOf is the code that every version's answers begin with; 0: it has none.
func exceptionOf(answer []byte) (code int) {
	if found := exceptionCode.FindSubmatch(answer); found != nil {
		code, _ = strconv.Atoi(string(found[1]))
	}
	return code
}

func (t *clickhouse) Close() error { return nil }
