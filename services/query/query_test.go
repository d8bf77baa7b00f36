package query_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/query"
)

// running is a query service on a store of its own.
type running struct {
	t     *testing.T
	url   string
	store *sqlite.Store
}

func serve(t *testing.T) *running {
	t.Helper()
	s, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &running{t, serveOn(t, s), s}
}

// serveOn starts a service and stops it, in order, with the test.
func serveOn(t *testing.T, s store.Store) (url string) {
	t.Helper()
	settings := query.Settings{
		Listen: "127.0.0.1:0", AdminKey: "ak_test", CacheBytes: 1 << 28, Deadline: 20 * time.Second, ExportDeadline: time.Minute,
		Exports: 2, Poll: 10 * time.Millisecond, AccountsEvery: time.Minute,
	}
	if err := settings.Validate(); err != nil {
		t.Fatal(err)
	}
	p := proc.New("query", zap.NewNop(), prometheus.NewRegistry(), proc.Options{Drain: 10 * time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	addresses, stopped := make(chan string, 1), make(chan error, 1)
	go func() {
		stopped <- p.Run(ctx, func(ctx context.Context, p *proc.Process) error {
			addr, err := query.Serve(ctx, &settings, p, query.Deps{Store: s})
			if err == nil {
				addresses <- "http://" + addr.String()
			}
			return err
		})
	}()
	select {
	case url = <-addresses:
	case err := <-stopped:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return url
}

func (r *running) do(method, key, path, body string) (int, map[string]any) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("X-API-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&answer); err != nil {
		r.t.Fatalf("%s %s: %d %s: %v", method, path, response.StatusCode, raw, err)
	}
	return response.StatusCode, answer
}

// until asks again and again until the answer is as wanted.
func (r *running) until(what, key, path string, done func(status int, answer map[string]any) bool) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		status, answer := r.do(http.MethodGet, key, path, "")
		if done(status, answer) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: still %d %v", what, status, answer)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-r.t.Context().Done():
		}
	}
}

func (r *running) createProject(id string) (writeKey, readKey string) {
	r.t.Helper()
	status, p := r.do(http.MethodPost, "ak_test", "/api/v1/admin/projects", fmt.Sprintf(`{"id": %q}`, id))
	if status != http.StatusCreated {
		r.t.Fatalf("create project: %d %v", status, p)
	}
	return p["write_key"].(string), p["read_key"].(string)
}

// deliver is what the consumer does with one message.
func (r *running) deliver(project, batch string, ids ...string) {
	r.t.Helper()
	now := event.TimeOf(time.Now())
	entry := store.Batch{ID: batch, Project: project, WrittenAt: now, Days: []int32{now.Day()}}
	var events []event.Event
	for i, id := range ids {
		events = append(events, event.Event{Project: project, EventID: id, EventType: "click", EventName: "click", UserID: "ann", Timestamp: now, ReceivedAt: now, StoredAt: now, BatchID: batch, Position: i})
	}
	outcomes, err := r.store.InsertEvents(r.t.Context(), events)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range outcomes {
		if o == store.Duplicate {
			entry.Duplicates++
		} else {
			entry.Stored++
		}
	}
	if err := r.store.RecordBatches(r.t.Context(), []store.Batch{entry}); err != nil {
		r.t.Fatal(err)
	}
}

func total(n float64) func(int, map[string]any) bool {
	return func(status int, answer map[string]any) bool { return status == http.StatusOK && answer["total"] == n }
}

func TestANewProjectIsReadAtOnceAndItsEventsAreSeen(t *testing.T) {
	r := serve(t)
	write, read := r.createProject("shop")
	r.until("the first answer", read, "/api/v1/analytics/stats/events", total(0))
	if status, answer := r.do(http.MethodGet, write, "/api/v1/analytics/stats/events", ""); status != http.StatusForbidden {
		t.Errorf("with the write key: got %d %v, want 403", status, answer)
	}
	r.deliver("shop", "018f0000-0000-7000-8000-000000000001", "1", "2", "3")
	r.until("three events", read, "/api/v1/analytics/stats/events", total(3))

	// Another replica, and a restart, read the same from the store.
	other := &running{t, serveOn(t, r.store), r.store}
	other.until("the same elsewhere", read, "/api/v1/analytics/stats/events", total(3))
}

func TestKeysAreRotatedWithoutAGap(t *testing.T) {
	r := serve(t)
	replica := &running{t, serveOn(t, r.store), r.store}
	_, old := r.createProject("shop")
	status, added := r.do(http.MethodPost, "ak_test", "/api/v1/admin/projects/shop/keys", `{"kind": "read"}`)
	if status != http.StatusCreated {
		t.Fatalf("got %d %v", status, added)
	}
	fresh := added["key"].(string)
	works := func(status int, _ map[string]any) bool { return status == http.StatusOK }
	gone := func(status int, _ map[string]any) bool { return status == http.StatusUnauthorized }
	for _, at := range []*running{r, replica} {
		at.until("the old key", old, "/api/v1/analytics/events", works)
		at.until("the new key", fresh, "/api/v1/analytics/events", works)
	}

	_, project := r.do(http.MethodGet, "ak_test", "/api/v1/admin/projects/shop", "")
	id := ""
	for _, k := range project["keys"].([]any) {
		key := k.(map[string]any)
		if key["kind"] == "read" && strings.HasPrefix(old, key["prefix"].(string)) {
			id = key["id"].(string)
		}
		if text, _ := json.Marshal(key); bytes.Contains(text, []byte(old)) || bytes.Contains(text, []byte(fresh)) {
			t.Errorf("a key is shown again: %s", text)
		}
	}
	if status, answer := r.do(http.MethodDelete, "ak_test", "/api/v1/admin/projects/shop/keys/"+id, ""); status != http.StatusOK {
		t.Fatalf("revoke: got %d %v", status, answer)
	}
	for _, at := range []*running{r, replica} {
		at.until("the revoked key", old, "/api/v1/analytics/events", gone)
		at.until("the other key", fresh, "/api/v1/analytics/events", works)
	}
}

func TestDeadLettersAreReplayedOnce(t *testing.T) {
	r := serve(t)
	_, read := r.createProject("shop")
	at := event.TimeOf(time.Now())
	good := event.Event{Project: "shop", EventID: "late", EventType: "click", EventName: "click", UserID: "ann", Timestamp: at, ReceivedAt: at}
	letters := []store.DeadLetter{
		{ID: "b1/0", Project: "shop", BatchID: "b1", Position: 0, Reason: "too deep", Payload: good.AppendWire(nil), Attempts: 1, FirstSeen: at},
		{ID: "b1/1", Project: "shop", BatchID: "b1", Position: 1, Reason: "unreadable", Payload: []byte("{\xff"), Attempts: 1, FirstSeen: at},
		{ID: "b2/0", Project: "blog", BatchID: "b2", Position: 0, Reason: "another project's", Payload: []byte("x"), Attempts: 1, FirstSeen: at},
	}
	if err := r.store.PutDeadLetters(t.Context(), letters); err != nil {
		t.Fatal(err)
	}
	const list = "/api/v1/admin/projects/shop/dead-letters"
	_, page := r.do(http.MethodGet, "ak_test", list+"?limit=1", "")
	if cursor := page["next_cursor"]; cursor != "b1/0" {
		t.Fatalf("got the cursor %v, want the first letter's id", cursor)
	}
	_, done := r.do(http.MethodPost, "ak_test", list+"/replay", `{"dry_run": true}`)
	if done["replayed"] != 1.0 || done["stored"] != 1.0 || len(done["failed"].([]any)) != 1 {
		t.Errorf("a dry run: got %v, want one that can be read and one that cannot", done)
	}
	if _, done = r.do(http.MethodPost, "ak_test", list+"/discard", `{"all": true, "dry_run": true, "reason": "tried"}`); done["discarded"] != 2.0 {
		t.Errorf("a dry run: got %v, want two", done)
	}
	if _, page = r.do(http.MethodGet, "ak_test", list, ""); len(page["dead_letters"].([]any)) != 2 {
		t.Errorf("after dry runs: got %v, want both letters", page)
	}
	_, done = r.do(http.MethodPost, "ak_test", list+"/replay", `{}`)
	if done["replayed"] != 1.0 || done["stored"] != 1.0 || len(done["failed"].([]any)) != 1 {
		t.Errorf("got %v, want one stored and one that fails", done)
	}
	r.until("the replayed event", read, "/api/v1/analytics/stats/events", total(1))
	if _, page = r.do(http.MethodGet, "ak_test", list, ""); len(page["dead_letters"].([]any)) != 1 {
		t.Errorf("got %v, want the unreadable one only", page)
	}

	// The same letter once more, as after a crash before it was removed.
	if err := r.store.PutDeadLetters(t.Context(), letters[:1]); err != nil {
		t.Fatal(err)
	}
	if _, done = r.do(http.MethodPost, "ak_test", list+"/replay", `{"ids": ["b1/0"]}`); done["replayed"] != 1.0 || done["duplicates"] != 0.0 {
		t.Errorf("got %v, want it to be the same replay", done)
	}
	batches, err := r.store.Batches(t.Context(), store.Cursor{}, 10)
	if err != nil || len(batches) != 1 || batches[0].Stored != 1 || batches[0].DeadLettered != -1 {
		t.Errorf("got the journal %+v %v, want one entry that takes the dead letter back", batches, err)
	}

	if status, _ := r.do(http.MethodPost, "ak_test", list+"/discard", `{}`); status != http.StatusBadRequest {
		t.Errorf("discarding nothing in particular: got %d, want 400", status)
	}
	if _, done = r.do(http.MethodPost, "ak_test", list+"/discard", `{"all": true, "reason": "tried"}`); done["discarded"] != 1.0 {
		t.Errorf("got %v, want one discarded", done)
	}
	if _, page = r.do(http.MethodGet, "ak_test", "/api/v1/admin/projects/*/dead-letters", ""); len(page["dead_letters"].([]any)) != 1 {
		t.Errorf("got %v, want the other project's letter to be there still", page)
	}
}

func TestAReplayTakesDeadLettersBackWhereTheyWereCounted(t *testing.T) {
	r := serve(t)
	at := event.TimeOf(time.Now())
	line := func(project, id string) []byte {
		e := event.Event{Project: project, EventID: id, EventType: "click", Timestamp: at, ReceivedAt: at}
		return e.AppendWire(nil)
	}
	mixed := event.AppendHeader(nil, event.Header{Version: event.Version, BatchID: "b1", Events: 4, Sources: []event.Source{
		{Project: "shop", Key: "k1", Hour: 700, Events: 2}, {Project: "blog", Key: "k2", Hour: 700, Events: 1}, {Project: "shop", Key: "k1", Hour: 701, Events: 1},
	}})
	older := event.AppendHeader(nil, event.Header{Version: event.Version, BatchID: "b2", Events: 1})
	for _, l := range [][]byte{line("shop", "1"), line("shop", "2"), line("blog", "1"), line("shop", "2")} {
		mixed = append(append(mixed, l...), '\n')
	}
	err := r.store.PutDeadLetters(t.Context(), []store.DeadLetter{
		{ID: "b1/-1", BatchID: "b1", Position: -1, Payload: mixed, FirstSeen: at},
		{ID: "b2/-1", BatchID: "b2", Position: -1, Payload: append(append(older, line("shop", "3")...), '\n'), FirstSeen: at},
		{ID: "b3/7", Project: "shop", Key: "k1", Hour: 702, BatchID: "b3", Position: 7, Payload: line("shop", "4"), FirstSeen: at},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, done := r.do(http.MethodPost, "ak_test", "/api/v1/admin/projects/*/dead-letters/replay", `{}`); done["replayed"] != 3.0 || done["stored"] != 5.0 || done["duplicates"] != 1.0 {
		t.Errorf("got %v, want all three replayed", done)
	}
	entries, err := r.store.Batches(t.Context(), store.Cursor{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		project, key string
		hour         int32
	}
	got := map[place][3]int{}
	for _, b := range entries {
		of := [3]int{b.Stored, b.Duplicates, b.DeadLettered}
		for _, a := range b.Accounts {
			sum := got[place{b.Project, a.Key, a.Hour}]
			for i, n := range [3]int{a.Stored, a.Duplicates, a.DeadLettered} {
				sum[i] += n
				of[i] -= n
			}
			got[place{b.Project, a.Key, a.Hour}] = sum
		}
		if of != [3]int{} {
			t.Errorf("the accounts do not add up to their entry: %+v", b)
		}
	}
	want := map[place][3]int{
		{"shop", "k1", 700}: {2, 0, -2}, {"blog", "k2", 700}: {1, 0, -1}, {"shop", "k1", 701}: {0, 1, -1}, {"shop", "k1", 702}: {1, 0, -1},
		{"", "", at.Hour()}: {0, 0, -1}, {"shop", "", at.Hour()}: {1, 0, 0}, // an older collector does not say whose the message is
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWrongSettingsAreAllNamed(t *testing.T) {
	err := (&query.Settings{Listen: "8081", AdminKey: "secret", Concurrency: -1, TalliesKept: time.Hour}).Validate()
	if err == nil {
		t.Fatal("got nil, want every wrong variable")
	}
	var named []string
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, " ")
		named = append(named, name)
	}
	want := []string{"QUERY_LISTEN", "QUERY_ADMIN_KEY", "QUERY_CACHE_BYTES", "QUERY_DEADLINE", "QUERY_EXPORT_DEADLINE", "QUERY_CONCURRENCY", "QUERY_EXPORTS", "QUERY_POLL", "QUERY_ACCOUNTS_EVERY", "QUERY_TALLIES_KEPT"}
	if !slices.Equal(named, want) {
		t.Errorf("got %v, want %v", named, want)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("%q shows the key", err)
	}
}
