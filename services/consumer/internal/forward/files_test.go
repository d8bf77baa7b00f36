package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/secret"
)

// target opens the target of a definition.
func target(t testing.TB, env Env, definition string) Target {
	t.Helper()
	d, err := destination.Read([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	made, err := open(t.Context(), &opening{env, "demo", d})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Close() })
	return made
}

// batchOf makes a batch of events as a pump does.
func batchOf(t testing.TB, to Target, id string, events ...event.Event) Batch {
	t.Helper()
	b := Batch{ID: id}
	for i := range events {
		body, err := to.Encode(&events[i])
		if err != nil {
			t.Fatal(err)
		}
		b.Items = append(b.Items, &Item{Event: &events[i], Body: body})
	}
	return b
}

var newYear = event.Time(1767225600000) // 2026-01-01T00:00:00Z

func someEvents() (events []event.Event) {
	for i := range 5 {
		events = append(events, event.Event{
			Project: "demo", EventID: fmt.Sprint("e", i), EventType: "purchase", UserID: "ann", IsBot: i == 1,
			Timestamp: newYear + event.Time(i*20*60*1000), ScrollDepth: "12.5", Properties: fmt.Sprintf(`{"amount":%d,"plan":"pro"}`, i),
		})
	}
	return events
}

func TestFilesLieByDayAndHour(t *testing.T) {
	folder := t.TempDir()
	to := target(t, Env{Folder: folder}, `{"id":"lake","type":"files","settings":{"prefix":"a/b"}}`)
	b := batchOf(t, to, "batch-1", someEvents()...)
	for range 2 { // the second time it is the same
		if err := to.Send(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			content, err := os.ReadFile(path)
			name, _ := filepath.Rel(folder, path)
			got[name] = idsOf(t, content)
			return err
		}
		return err
	})
	want := map[string]string{
		"a/b/day=2026-01-01/hour=00/batch-1.ndjson": "e0 e1 e2",
		"a/b/day=2026-01-01/hour=01/batch-1.ndjson": "e3 e4",
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// idsOf are the events of an NDJSON file.
func idsOf(t *testing.T, content []byte) string {
	t.Helper()
	var ids []string
	for line := range strings.Lines(string(content)) {
		var e struct {
			EventID string `json:"event_id"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ids = append(ids, e.EventID)
	}
	return strings.Join(ids, " ")
}

func TestParquetHasTheColumnsOfTheDefinition(t *testing.T) {
	folder := t.TempDir()
	to := target(t, Env{Folder: folder}, `{"id":"lake","type":"files","settings":{"format":"parquet"},
		"fields":["event_id","timestamp","is_bot","scroll_depth","properties.amount","page_url"],"rename":{"properties.amount":"cost","timestamp":"at"}}`)
	if err := to.Send(t.Context(), batchOf(t, to, "b", someEvents()[:2]...)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(folder, "day=2026-01-01/hour=00/b.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		EventID string  `parquet:"event_id,optional"`
		At      int64   `parquet:"at,optional,timestamp(millisecond)"`
		IsBot   bool    `parquet:"is_bot,optional"`
		Depth   float64 `parquet:"scroll_depth,optional"`
		Cost    string  `parquet:"cost,optional"`
		URL     *string `parquet:"page_url,optional"`
	}
	rows, err := parquet.Read[row](bytes.NewReader(content), int64(len(content)))
	if err != nil || len(rows) != 2 {
		t.Fatalf("got %v, %v, want 2 rows", rows, err)
	}
	want := row{EventID: "e1", At: int64(newYear) + 20*60*1000, IsBot: true, Depth: 12.5, Cost: "1"}
	if rows[1] != want {
		t.Errorf("got %+v, want %+v", rows[1], want)
	}
}

func TestFilesStayInTheirFolder(t *testing.T) {
	for _, prefix := range []string{"..", "a/../..", `a\b`} {
		text, _ := json.Marshal(prefix)
		if _, err := destination.Read(fmt.Appendf(nil, `{"id":"x","type":"files","settings":{"prefix":%s}}`, text)); err == nil {
			t.Errorf("%s: got no error", prefix)
		}
	}
	d, err := destination.Read([]byte(`{"id":"x","type":"files","settings":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), &opening{Env{}, "demo", d}); err == nil {
		t.Error("no folder is set: got no error")
	}
}

func TestABucketTakesFiles(t *testing.T) {
	server := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	defer server.Close()
	t.Setenv("CREDENTIAL_S3", "secret-of-the-bucket")
	keys, err := secret.Open(secret.Config{})
	if err != nil {
		t.Fatal(err)
	}
	to := target(t, Env{Keys: keys}, fmt.Sprintf(`{"id":"s","type":"s3","settings":{"prefix":"events","bucket":"lake","endpoint":%q,
		"insecure":true,"access_key":"me","secret_key":{"env":"CREDENTIAL_S3"}}}`, strings.TrimPrefix(server.URL, "http://"))).(*bucket)
	b := batchOf(t, to, "batch-1", someEvents()...)
	if err := to.Send(t.Context(), b); err == nil {
		t.Fatal("there is no bucket: got no error")
	}
	if err := to.client.MakeBucket(t.Context(), "lake", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := to.Send(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	for object := range to.client.ListObjects(context.Background(), "lake", minio.ListObjectsOptions{Recursive: true}) {
		r, err := to.client.GetObject(t.Context(), "lake", object.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[object.Key] = idsOf(t, content)
	}
	want := map[string]string{
		"events/day=2026-01-01/hour=00/batch-1.ndjson": "e0 e1 e2",
		"events/day=2026-01-01/hour=01/batch-1.ndjson": "e3 e4",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
