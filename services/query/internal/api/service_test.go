package api_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/query/internal/admin"
	"github.com/maidian/maidian/services/query/internal/api"
	"github.com/maidian/maidian/services/query/internal/auth"
	"github.com/maidian/maidian/services/query/internal/columns"
	"github.com/maidian/maidian/services/query/internal/erase"
)

// service is the API on a real store in a folder of its own. Every answer it
// gives is held against the OpenAPI document.
type service struct {
	t      testing.TB
	url    string
	store  *sqlite.Store
	tables *columns.Tables
	keys   *auth.Keys
	eraser *erase.Eraser
	admin  *admin.Admin
	now    time.Time

	batches int
	slow    chan struct{}                                          // when made: the blog is read once this is closed
	reading func(ctx context.Context, project, batch string) error // when set: called before raw events are read
}

// Keys of the two projects that every test has.
const (
	adminKey = "ak_test"
	shopKey  = "rk_shop"
	shopPen  = "wk_shop"
	blogKey  = "rk_blog"
)

// noon is the moment that it is in tests, unless they say otherwise.
var noon = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

func start(t testing.TB) *service {
	t.Helper()
	return startWith(t, api.Options{})
}

func startWith(t testing.TB, o api.Options) *service {
	t.Helper()
	s := &service{t: t, now: noon}
	var err error
	if s.store, err = sqlite.Open(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	s.create("shop", readKey(shopKey), store.Key{ID: "2", Kind: store.WriteKey, Hash: auth.Hash(shopPen), CreatedAt: event.TimeOf(noon)})
	s.create("blog", readKey(blogKey))

	s.keys = auth.New(s.store, adminKey)
	if err := s.keys.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := proc.New("query", zap.NewNop(), prometheus.NewRegistry(), proc.Options{})
	s.tables = columns.NewTables(reader{s}, 1<<30, p.Metrics)
	s.tables.SetAsOf(event.TimeOf(s.now))
	fill(&o)
	o.Now, o.Accounts = func() time.Time { return s.now }, s.store
	s.eraser = erase.New(s.store, views{s}, p.Log, o.Now, erase.Options{Poll: 10 * time.Millisecond})
	s.admin = admin.New(s.store, s.keys, s.eraser, o.Now)
	h, err := api.New(p, views{s}, s.keys, s.admin, o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func fill(o *api.Options) {
	o.Deadline, o.ExportDeadline = cmp.Or(o.Deadline, 30*time.Second), cmp.Or(o.ExportDeadline, time.Minute)
	o.Heavy, o.Exports = cmp.Or(o.Heavy, 4), cmp.Or(o.Exports, 2)
}

type views struct{ *service }

func (v views) View(ctx context.Context, project string) (*columns.View, error) {
	if v.slow != nil && project == "blog" {
		select {
		case <-v.slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return v.tables.Project(project).View(), nil
}

// reader is the store as the columns read it.
type reader struct{ *service }

func (r reader) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	for _, id := range ids {
		if r.reading != nil {
			if err := r.reading(ctx, project, id); err != nil {
				return err
			}
		}
		if err := r.store.EventsOfBatches(ctx, project, []string{id}, yield); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) create(id string, keys ...store.Key) {
	s.t.Helper()
	if err := s.store.CreateProject(s.t.Context(), store.Project{ID: id, Name: id, Keys: keys, CreatedAt: event.TimeOf(noon)}); err != nil {
		s.t.Fatal(err)
	}
}

func readKey(key string) store.Key {
	return store.Key{ID: "1", Kind: store.ReadKey, Hash: auth.Hash(key), CreatedAt: event.TimeOf(noon)}
}

// at is a moment of the day that it is in tests.
func at(clock string) event.Time {
	t, err := time.Parse(time.TimeOnly, clock)
	if err != nil {
		panic(err)
	}
	return event.TimeOf(noon.Truncate(24 * time.Hour).Add(t.Sub(t.Truncate(24 * time.Hour))))
}

// send does what collector and consumer do with a message, and the follower after them.
func (s *service) send(project string, events ...event.Event) {
	s.t.Helper()
	s.batches++
	batch := store.Batch{ID: fmt.Sprintf("018f0000-0000-7000-8000-%012d", s.batches), Project: project, WrittenAt: event.TimeOf(s.now), Stored: len(events)}
	for i := range events {
		e := &events[i]
		e.Project, e.BatchID, e.Position = project, batch.ID, i
		if e.EventID == "" {
			e.EventID = fmt.Sprintf("%d.%d", s.batches, i)
		}
		if e.EventName == "" {
			e.EventName = e.EventType
		}
		batch.Days = append(batch.Days, e.Timestamp.Day())
	}
	if _, err := s.store.InsertEvents(s.t.Context(), events); err != nil {
		s.t.Fatal(err)
	}
	if err := s.store.RecordBatches(s.t.Context(), []store.Batch{batch}); err != nil {
		s.t.Fatal(err)
	}
	s.follow(project, batch)
}

// follow brings a batch from the store into memory.
func (s *service) follow(project string, batches ...store.Batch) {
	s.t.Helper()
	for _, b := range batches {
		var events []event.Event
		err := s.store.EventsOfBatches(s.t.Context(), project, []string{b.ID}, func(e *event.Event) error {
			events = append(events, *e)
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
		if short := s.tables.Project(project).Add([]store.Batch{b}, events); len(short) > 0 {
			s.t.Fatalf("batches that came short: %v", short)
		}
	}
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// get asks with GET, post with POST; params are name and value in turn.
func (s *service) get(key, path string, params ...string) answer {
	s.t.Helper()
	query := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		query.Add(params[i], params[i+1])
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return s.do(http.MethodGet, key, path, "")
}

func (s *service) post(key, path, body string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, key, path, body)
}

func (s *service) do(method, key, path, body string) answer {
	s.t.Helper()
	if !strings.HasPrefix(path, "/") {
		path = "/api/v1/analytics/" + path
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("X-API-Key", key)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	conforms(s.t, request, response, got)
	return answer{s.t, response.StatusCode, response.Header, got}
}

// ok fails the test unless the answer is a good one.
func (a answer) ok() answer {
	a.t.Helper()
	if a.status/100 != 2 {
		a.t.Fatalf("got %d %s", a.status, a.body)
	}
	return a
}

// json is the answer's value at a path such as "overview.sessions" or "pages.0.views".
func (a answer) json(path string) any {
	a.t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[name]
		case []any:
			i := 0
			fmt.Sscan(name, &i)
			if i >= len(node) {
				return nil
			}
			v = node[i]
		}
	}
	return v
}

// has holds a value of the answer against JSON.
func (a answer) has(path, want string) answer {
	a.t.Helper()
	got, err := json.Marshal(a.json(path))
	if err != nil {
		a.t.Fatal(err)
	}
	if string(got) != want {
		a.t.Errorf("%s: got %s, want %s", path, got, want)
	}
	return a
}

// document is the OpenAPI document as served, ready to check with.
var document = sync.OnceValue(func() *openapi3.T {
	raw, err := api.OpenAPI()
	if err != nil {
		panic(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		panic(err)
	}
	return doc
})

var router = sync.OnceValue(func() routers.Router {
	r, err := gorillamux.NewRouter(document())
	if err != nil {
		panic(err)
	}
	return r
})

// conforms holds an answer against the document. Routes that it does not have must say so.
func conforms(t testing.TB, request *http.Request, response *http.Response, body []byte) {
	t.Helper()
	request = request.Clone(t.Context())
	request.URL.Host, request.URL.Scheme, request.Host = "", "", ""
	route, params, err := router().FindRoute(request)
	if err != nil {
		if response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s answers %d, and the document does not have it", request.Method, request.URL.Path, response.StatusCode)
		}
		return
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	in := &openapi3filter.RequestValidationInput{Request: request, PathParams: params, Route: route, Options: options}
	if contentType := response.Header.Get("Content-Type"); response.StatusCode == http.StatusOK && !strings.HasPrefix(contentType, "application/json") {
		return // a file: its form has tests of its own
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: response.StatusCode, Header: response.Header, Options: options}
	out.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s %s: the answer is not as the document says: %v", request.Method, request.URL, err)
	}
}
