package oracle_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/api"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/oracle"
)

// service is the API over one history.
type service struct {
	handler http.Handler
	view    *columns.View
	now     event.Time
}

func newService() (*service, error) {
	s := &service{}
	p := proc.New("query", zap.NewNop(), prometheus.NewRegistry(), proc.Options{})
	var err error
	s.handler, err = api.New(p, s, s, nil, api.Options{
		Deadline: time.Minute, ExportDeadline: time.Minute, Heavy: 4, Exports: 2,
		Now: func() time.Time { return s.now.Std() },
	})
	return s, err
}

func (s *service) View(context.Context, string) (*columns.View, error) { return s.view, nil }
func (s *service) Reader(string, string) (store.Project, error) {
	return store.Project{ID: "shop"}, nil
}
func (s *service) Admin(string) error { return nil }

// hold is the history that is asked about, and when.
func (s *service) hold(events []event.Event, now event.Time) {
	s.view, s.now = columns.FromEvents("shop", events), now
}

func (s *service) post(route string, body any) (int, []byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/analytics/"+route, bytes.NewReader(text)))
	return w.Code, w.Body.Bytes(), nil
}

// trial is one random history and one random request about it.
type trial struct {
	*service
	seed    uint64
	route   string
	events  []event.Event
	now     event.Time
	request oracle.Request
}

func newTrial(s *service, route string, seed uint64) *trial {
	r := oracle.NewRandom(seed)
	size := 1 + r.IntN(14)
	if seed%8 == 7 && !strings.HasPrefix(route, "funnel") { // of those the oracle tries every chain there is
		size = 50 + r.IntN(250)
	}
	events := r.Events(size)
	tr := &trial{service: s, seed: seed, route: route, events: events, now: r.Now(events), request: r.Request(route, events)}
	if route == "users/" {
		tr.route += []string{"a", "b", "anon-c", "s1", "anon-d", "nobody"}[r.IntN(6)]
	}
	return tr
}

// wrong says how the service's answer is not the oracle's.
func (tr *trial) wrong() error {
	tr.hold(tr.events, tr.now)
	want := oracle.New(tr.events, tr.now).Answer(tr.route, tr.request)
	if tr.route == "export" {
		return tr.wrongFiles(want["events"])
	}
	status, body, err := tr.post(tr.route, tr.request)
	switch {
	case err != nil:
		return err
	case want == nil && status == http.StatusNotFound:
		return nil
	case want == nil || status != http.StatusOK:
		return fmt.Errorf("%d %s", status, body)
	}
	var got map[string]any
	if err := decode(body, &got); err != nil {
		return err
	}
	if tr.route == "events" {
		if got, err = tr.everyPage(got); err != nil {
			return err
		}
	}
	return differ("", got, want)
}

// everyPage is the list of all pages together, asked for one after another.
func (tr *trial) everyPage(page map[string]any) (map[string]any, error) {
	all, limit, complete := page["events"].([]any), 100, page["complete"]
	if n, is := tr.request["limit"].(float64); is {
		limit = int(n)
	}
	for cursor, is := page["next_cursor"].(string); is; cursor, is = page["next_cursor"].(string) {
		if len(page["events"].([]any)) != limit {
			return nil, fmt.Errorf("a page of %d events with another after it, limit %d", len(page["events"].([]any)), limit)
		}
		more := oracle.Request{"cursor": cursor}
		for name, v := range tr.request {
			more[name] = v
		}
		status, body, err := tr.post(tr.route, more)
		if err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("%d %s %w", status, body, err)
		}
		page = nil
		if err := decode(body, &page); err != nil {
			return nil, err
		}
		all = append(all, page["events"].([]any)...)
	}
	return map[string]any{"events": all, "complete": complete}, nil
}

// wrongFiles reads the exports of every format back.
func (tr *trial) wrongFiles(want any) error {
	for format, read := range map[string]func([]byte) ([]any, error){"ndjson": readLines, "csv": readCSV, "parquet": readParquet} {
		request := oracle.Request{"format": format}
		for name, v := range tr.request {
			if name != "limit" {
				request[name] = v
			}
		}
		status, body, err := tr.post("export", request)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("%d %s %w", status, body, err)
		}
		got, err := read(body)
		if err == nil {
			err = differ(format, got, want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readLines(body []byte) ([]any, error) {
	list := []any{}
	for line := range bytes.Lines(body) {
		var v any
		if err := decode(line, &v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// readCSV makes events of rows again: a cell never starts a formula, and one
// apostrophe before such a start is the export's.
func readCSV(body []byte) ([]any, error) {
	rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, row := range rows[1:] {
		e := map[string]any{}
		for i, cell := range row {
			if strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "+") || strings.HasPrefix(cell, "-") || strings.HasPrefix(cell, "@") {
				return nil, fmt.Errorf("the cell %q starts a formula", cell)
			}
			cell = strings.TrimPrefix(cell, "'")
			if cell != "" {
				e[rows[0][i]] = fieldOf(rows[0][i], cell)
			}
		}
		list = append(list, e)
	}
	return list, nil
}

func fieldOf(name, text string) any {
	switch event.FieldNamed(name).Kind {
	case event.Num:
		return json.Number(text)
	case event.Flag:
		return text == "true"
	case event.Object:
		var v any
		if err := decode([]byte(text), &v); err == nil {
			return v
		}
	}
	return text
}

func readParquet(body []byte) ([]any, error) {
	reader := parquet.NewGenericReader[any](bytes.NewReader(body))
	rows := make([]parquet.Row, reader.NumRows())
	for n := 0; n < len(rows); {
		read, err := reader.ReadRows(rows[n:])
		if n += read; err != nil && !errors.Is(err, io.EOF) || read == 0 {
			return nil, fmt.Errorf("%d of %d rows: %w", n, len(rows), err)
		}
	}
	columns := reader.Schema().Columns()
	list := []any{}
	for _, row := range rows {
		e := map[string]any{}
		for _, v := range row {
			name := columns[v.Column()][0]
			switch kind := event.FieldNamed(name).Kind; {
			case v.IsNull():
			case kind == event.Num:
				e[name] = v.Double()
			case kind == event.Flag:
				e[name] = v.Boolean()
			case kind == event.Moment:
				e[name] = event.Time(v.Int64()).String()
			default:
				e[name] = fieldOf(name, string(v.ByteArray()))
			}
		}
		list = append(list, e)
	}
	return list, reader.Close()
}

func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

// unsaid is what the oracle makes no statement on: words, and what stands beside every answer.
var unsaid = []string{"query", "freshness", "sampled", "definition", "next_cursor", "why", "stopped", "void_starts", "entries", "event", "steps"}

// differ compares what is decoded from JSON with what the oracle wants.
func differ(at string, got, want any) error {
	text, err := json.Marshal(want)
	if err != nil {
		return err
	}
	var w any
	if err := decode(text, &w); err != nil {
		return err
	}
	if text, err = json.Marshal(got); err != nil {
		return err
	}
	var g any
	if err := decode(text, &g); err != nil {
		return err
	}
	return differing(at, g, w)
}

func differing(at string, got, want any) error {
	switch want := want.(type) {
	case map[string]any:
		object, is := got.(map[string]any)
		if !is {
			return fmt.Errorf("%s: got %v, want %v", at, got, want)
		}
		for name := range object {
			if _, said := want[name]; !said && !slices.Contains(unsaid, name) {
				return fmt.Errorf("%s.%s: got %v, want none", at, name, object[name])
			}
		}
		for name, w := range want {
			if err := differing(at+"."+name, object[name], w); err != nil {
				return err
			}
		}
		return nil
	case []any:
		list, is := got.([]any)
		if !is || len(list) != len(want) {
			return fmt.Errorf("%s: got %v, want %v", at, got, want)
		}
		for i, w := range want {
			if err := differing(at+"["+strconv.Itoa(i)+"]", list[i], w); err != nil {
				return err
			}
		}
		return nil
	case json.Number:
		n, is := got.(json.Number)
		a, _ := n.Float64()
		b, _ := want.Float64()
		if is && math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) {
			return nil
		}
	default:
		if got == want {
			return nil
		}
	}
	return fmt.Errorf("%s: got %v, want %v", at, got, want)
}

// shrink leaves out events while the answer stays wrong.
func (tr *trial) shrink() {
	for i := 0; i < len(tr.events); {
		less := *tr
		if less.events = slices.Delete(slices.Clone(tr.events), i, i+1); len(less.events) > 0 && less.wrong() != nil {
			tr.events, i = less.events, 0
			continue
		}
		i++
	}
}

func (tr *trial) fail(t *testing.T) {
	t.Helper()
	tr.shrink()
	tr.hold(tr.events, tr.now)
	body, _ := json.Marshal(tr.request)
	_, answer, _ := tr.post(tr.route, tr.request)
	want, _ := json.Marshal(oracle.New(tr.events, tr.now).Answer(tr.route, tr.request))
	var history strings.Builder
	for _, e := range tr.events {
		fmt.Fprintf(&history, "  %s\n", e.AppendJSON(nil))
	}
	t.Fatalf("ORACLE_SEED=%d: POST %s %s at %s\n%v\n got %s\nwant %s\n%s", tr.seed, tr.route, body, tr.now, tr.wrong(), answer, want, history.String())
}

// seeds are those of a run: ORACLE_SEEDS of them, or the one of ORACLE_SEED.
func seeds(t *testing.T) (first, n uint64) {
	t.Helper()
	first, n = 0, 200
	for name, to := range map[string]*uint64{"ORACLE_SEEDS": &n, "ORACLE_SEED": &first} {
		if text := os.Getenv(name); text != "" {
			v, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			*to = v
			if name == "ORACLE_SEED" {
				return v, 1
			}
		}
	}
	return first, n
}

// Every report's whole answer is the oracle's.
func TestEveryReportIsTheOracles(t *testing.T) {
	first, n := seeds(t)
	for _, route := range oracle.Routes {
		t.Run(strings.Trim(route, "/"), func(t *testing.T) {
			s, err := newService()
			if err != nil {
				t.Fatal(err)
			}
			for seed := first; seed < first+n; seed++ {
				if tr := newTrial(s, route, seed); tr.wrong() != nil {
					tr.fail(t)
				}
			}
		})
	}
}
