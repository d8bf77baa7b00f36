package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/allinone/internal/send"
)

// collector is a stand-in that reads batches as the real one does and keeps
// what is good.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	events map[string]event.Event // by id
	twice  int                    // events that came again
	refuse []int                  // statuses of the next answers
}

func newCollector(t *testing.T) *collector {
	c := &collector{events: map[string]event.Event{}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.answer))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) answer(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refuse) > 0 {
		w.WriteHeader(c.refuse[0])
		c.refuse = c.refuse[1:]
		return
	}
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil || r.Header.Get("X-Api-Key") != "wk" || r.Header.Get("User-Agent") != "" {
		http.Error(w, fmt.Sprint(err, r.Header), http.StatusTeapot)
		return
	}
	body, _ := io.ReadAll(unpacked)
	req, err := event.ParseBatch(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := send.Answer{}
	for _, p := range req.Events {
		if len(p.Problems) > 0 {
			a.Rejected++
			for _, x := range p.Problems {
				a.Errors = append(a.Errors, send.Problem{Index: x.Index, Field: x.Field, Message: x.Message})
			}
			continue
		}
		a.Accepted++
		if _, ok := c.events[p.Event.EventID]; ok {
			c.twice++
		}
		c.events[p.Event.EventID] = p.Event
	}
	if a.Accepted == 0 {
		w.WriteHeader(http.StatusBadRequest)
	}
	_ = json.NewEncoder(w).Encode(a)
}

// Totals makes the stand-in its own accounts.
func (c *collector) Totals(context.Context) (Totals, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Totals{Stored: len(c.events), Duplicates: c.twice}, nil
}

func (c *collector) options(t *testing.T, text string) Options {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{
		File: path, Collector: c.URL, Key: "wk", Accounts: c,
		Batch: 3, InFlight: 2, Patience: time.Minute, Columns: Columns{Zone: "UTC"},
	}
}

func TestRowsBecomeEvents(t *testing.T) {
	tests := map[string]struct {
		text    string
		columns Columns
		want    string // the event as JSON, without event_id and is_bot
	}{
		"familiar columns": {
			"user_id,event,time,plan\n42,login,2024-03-13 10:21:14,pro\n",
			Columns{},
			`{"event_type":"login","event_name":"login","user_id":"42","timestamp":"2024-03-13T10:21:14.000Z","properties":{"plan":"pro"}}`,
		},
		"mapped, dropped and constant": {
			"who,what,when,secret\nann,login,1710325274,x\n",
			Columns{Map: []string{"who=user_id", "what=event_type", "when=timestamp", "secret=-"}, Set: []string{"channel_in=mail", "page_url=https://a.example/"}},
			`{"event_type":"login","event_name":"login","user_id":"ann","timestamp":"2024-03-13T10:21:14.000Z","page_url":"https://a.example/","properties":{"channel_in":"mail"}}`,
		},
		"default fills what is empty": {
			"event,product_id\nproduct_view,\n",
			Columns{Default: []string{"product_view:product_id=unknown", "other:x=1"}},
			`{"event_type":"product_view","event_name":"product_view","properties":{"product_id":"unknown"}}`,
		},
		"default leaves what is there": {
			"event,product_id\nproduct_view,7\n",
			Columns{Default: []string{"product_view:product_id=unknown"}},
			`{"event_type":"product_view","event_name":"product_view","properties":{"product_id":"7"}}`,
		},
		"numbers and truth, but not in ids": {
			"event;n;ok;zero;order_id;text\nx;1.50;true;007;12;a \"\"b\n",
			Columns{},
			"",
		},
		"quoted": {
			"event,text\nx,\"a \"\"b\"\",\nnew line é\"\n",
			Columns{},
			`{"event_type":"x","event_name":"x","properties":{"text":"a \"b\",\nnew line é"}}`,
		},
		"time zone of the file": {
			"event,time\nx,2024-07-01 12:00:00\n",
			Columns{Zone: "Europe/Berlin"},
			`{"event_type":"x","event_name":"x","timestamp":"2024-07-01T10:00:00.000Z"}`,
		},
		"layout": {
			"event,time\nx,31/12/2024 23:00\n",
			Columns{Layout: "02/01/2006 15:04"},
			`{"event_type":"x","event_name":"x","timestamp":"2024-12-31T23:00:00.000Z"}`,
		},
		"ndjson": {
			`{"event":"x","uid":7,"ts":1710325274123,"properties":{"$a.b":[1]},"more":{"deep":null},"none":null}`,
			Columns{},
			`{"event_type":"x","event_name":"x","user_id":"7","timestamp":"2024-03-13T10:21:14.123Z","properties":{"$a.b":[1],"more":{"deep":null}}}`,
		},
		"properties in a csv cell": {
			"event,properties,b\nx,\"{\"\"a\"\":1}\",2\n",
			Columns{},
			`{"event_type":"x","event_name":"x","properties":{"a":1,"b":2}}`,
		},
		"cells that an export guarded": {
			"event,user_id,page_title,amount,properties\nx,'@ann,''=1,'-5,\"{\"\"a\"\":\"\"'=2\"\"}\"\n",
			Columns{},
			`{"event_type":"x","event_name":"x","user_id":"@ann","page_title":"'=1","properties":{"a":"'=2","amount":-5}}`,
		},
		"number of a field": {
			"event,scroll_depth\nscroll,55.5\n",
			Columns{},
			`{"event_type":"scroll","event_name":"scroll","scroll_depth":55.5}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCollector(t)
			o := c.options(t, tt.text)
			if tt.columns.Zone == "" {
				tt.columns.Zone = "UTC"
			}
			o.Columns = tt.columns
			if tt.want == "" { // a bare quote in a cell is no CSV: the line is named, not guessed at
				o.Delimiter = ";"
			}
			report, err := Import(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if report.Rejected != 1 || report.First[0].Line != 2 {
					t.Errorf("report %+v, want line 2 rejected", report)
				}
				return
			}
			if report.Accepted != 1 {
				t.Fatalf("report %+v, want one accepted", report)
			}
			for _, e := range c.events {
				e.EventID, e.ClientTimestamp = "", 0
				if got := strings.Replace(string(e.AppendJSON(nil)), `,"is_bot":false`, "", 1); got != tt.want {
					t.Errorf("event\n%s, want\n%s", got, tt.want)
				}
			}
		})
	}
}

func shop(rows int) string {
	var b strings.Builder
	b.WriteString("user,event,time\n")
	for i := range rows { // with rows that are equal to one another
		fmt.Fprintf(&b, "u%d,visit,2024-01-0%dT00:00:00Z\n", i%3, 1+i%2)
	}
	return b.String()
}

func TestImportTwiceStoresNothingTwice(t *testing.T) {
	c := newCollector(t)
	o := c.options(t, shop(50))
	for run, want := range []Totals{{Stored: 50}, {Duplicates: 50}} {
		report, err := Import(t.Context(), o)
		if err != nil || report.Accepted != 50 || report.Settled.Totals != want || report.Settled.Unknown != nil {
			t.Errorf("import %d: %+v, %v, want %+v", run, report, err, want)
		}
	}
}

func TestPackedFileIsTheSameFile(t *testing.T) {
	ids := func(pack bool) []string {
		c := newCollector(t)
		text := "\xef\xbb\xbf" + shop(20)
		if pack {
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			_, _ = io.WriteString(w, text)
			_ = w.Close()
			text = packed.String()
		}
		if _, err := Import(t.Context(), c.options(t, text)); err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(c.events))
	}
	plain, packed := ids(false), ids(true)
	if len(plain) != 20 || !slices.Equal(plain, packed) {
		t.Errorf("ids differ: %v and %v", plain, packed)
	}
}

func TestIdsGrowWithTheFile(t *testing.T) {
	last := ""
	for line := range 1000 {
		id := eventID(row{line: line, cells: []cell{{column: "a", text: fmt.Sprint(line % 7)}}}).String()
		if id <= last {
			t.Fatalf("line %d has id %s, after %s", line, id, last)
		}
		last = id
	}
}

func TestRefusalsThatPassAreTriedAgain(t *testing.T) {
	c := newCollector(t)
	c.refuse = []int{503, 429, 502, 500}
	report, err := Import(t.Context(), c.options(t, shop(9)))
	if err != nil || report.Accepted != 9 || len(c.events) != 9 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestRefusalForGoodEndsTheImport(t *testing.T) {
	c := newCollector(t)
	o := c.options(t, shop(9))
	o.Key = "wrong"
	if _, err := Import(t.Context(), o); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("error %v, want the collector's answer", err)
	}
}

func TestRejectedLinesAreNamedWithTheirReasons(t *testing.T) {
	c := newCollector(t)
	text := "event,time,amount\n" + // line 1
		"visit,2024-01-01,\n" +
		"visit,yesterday,\n" +
		",2024-01-01,\n" +
		"purchase,2024-01-01,\n" +
		"visit,2024-01-01\n" +
		"purchase,2024-01-01,-5\n"
	report, err := Import(t.Context(), c.options(t, text))
	if err != nil || report.Rows != 6 || report.Accepted != 1 || report.Rejected != 5 {
		t.Fatalf("%+v, %v", report, err)
	}
	var out strings.Builder
	report.Write(&out, "file")
	for _, want := range []string{
		`line 3: the time "yesterday" is in no known layout`,
		"line 4: event_type",
		"line 5: properties.amount is required for purchase",
		"line 6: the line has 2 columns",
		"line 7: properties.amount must be 0 or more, got -5",
		"-default purchase:amount=0",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the summary does not say %q:\n%s", want, out.String())
		}
	}
	if lines := report.First; !slices.IsSortedFunc(lines, func(a, b Rejection) int { return a.Line - b.Line }) {
		t.Errorf("lines %v", lines)
	}
}

func newReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

func FuzzAnyFileIsAccountedFor(f *testing.F) {
	f.Add("user,event,time\na,b,2024-01-01\n")
	f.Add(`{"event":"x","properties":{"a":{}}}` + "\n{}\n[\n")
	f.Add("a;b\n\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := &source{Reader: nil}
		s.Reader = newReader(text)
		format, err := s.format("")
		if err != nil {
			t.Fatal(err)
		}
		rows, err := newRows(s, format, "")
		if err != nil {
			return
		}
		m, err := newMapping(Columns{Zone: "UTC"})
		if err != nil {
			t.Fatal(err)
		}
		for {
			r, err := rows.next()
			if err != nil {
				return
			}
			if r.err != nil {
				continue
			}
			e, err := m.event(nil, r)
			if err == nil && !json.Valid(e) {
				t.Fatalf("line %d became %s, which is not JSON", r.line, e)
			}
		}
	})
}
