package bigquery

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/consumer/internal/forward"
)

// fake answers as BigQuery's REST reference says, and holds what it is asked to
// that: jobs whose ids are taken once for good, multipart uploads, job resources.
type fake struct {
	t   testing.TB
	url *url.URL

	mu     sync.Mutex
	jobs   map[string]map[string]any
	rows   []row
	order  []string // ids of jobs in the order in which they were made
	upload func(id string) *trouble
}

// trouble is what an upload meets.
type trouble struct {
	status int    // of the answer; 0: as it should be
	reason string // of the answer's error, or of the job's if the status is 0
	lost   bool   // the job is made all the same
}

type row struct {
	EventID string  `parquet:"event_id,optional"`
	Amount  float64 `parquet:"scroll_depth,optional"`
}

func newFake(t testing.TB) *fake {
	f := &fake{t: t, jobs: map[string]map[string]any{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url, _ = url.Parse(server.URL)
	return f
}

// RoundTrip brings what is for Google here.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" || !strings.HasSuffix(r.URL.Host, ".googleapis.com") {
		return nil, fmt.Errorf("asked %s", r.URL)
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = f.url.Scheme, f.url.Host
	return http.DefaultTransport.RoundTrip(r)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	const jobs = "/bigquery/v2/projects/p/jobs"
	switch path := r.URL.Path; {
	case path == "/token":
		if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || strings.Count(r.FormValue("assertion"), ".") != 2 {
			f.t.Errorf("asked for a token with %v", r.Form)
		}
		fmt.Fprint(w, `{"access_token":"granted","token_type":"Bearer","expires_in":3600}`)
	case r.Header.Get("Authorization") != "Bearer granted":
		refuse(w, 401, "authError")
	case path == "/upload"+jobs && r.Method == http.MethodPost:
		f.insert(w, r)
	case strings.HasPrefix(path, jobs+"/") && r.Method == http.MethodGet:
		job := f.jobs[strings.TrimPrefix(path, jobs+"/")]
		if job == nil || r.FormValue("location") != "EU" {
			refuse(w, 404, "notFound")
			return
		}
		job["status"] = job["outcome"] // it has ended by now
		json.NewEncoder(w).Encode(job)
	default:
		f.t.Errorf("asked %s %s", r.Method, r.URL)
		refuse(w, 404, "notFound")
	}
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":"because of %s","errors":[{"reason":%q,"message":"because of %s"}]}}`, status, reason, reason, reason)
}

func (f *fake) insert(w http.ResponseWriter, r *http.Request) {
	job, file := f.readUpload(r)
	reference := job["jobReference"].(map[string]any)
	load, _ := json.Marshal(job["configuration"].(map[string]any)["load"])
	const want = `{"createDisposition":"CREATE_IF_NEEDED","destinationTable":{"datasetId":"web","projectId":"p","tableId":"events"},"schemaUpdateOptions":["ALLOW_FIELD_ADDITION"],"sourceFormat":"PARQUET","writeDisposition":"WRITE_APPEND"}`
	id, _ := reference["jobId"].(string)
	if string(load) != want || reference["location"] != "EU" {
		f.t.Errorf("asked for %s in %v\nwant %s", load, reference, want)
	}
	if f.jobs[id] != nil {
		refuse(w, 409, "duplicate")
		return
	}
	met := &trouble{}
	if f.upload != nil {
		if given := f.upload(id); given != nil {
			met = given
		}
	}
	if met.status == 0 || met.lost {
		f.run(id, job, file, met)
	}
	if met.status != 0 {
		refuse(w, met.status, met.reason)
		return
	}
	json.NewEncoder(w).Encode(f.jobs[id])
}

// run makes a job that has ended when it is asked for next.
func (f *fake) run(id string, job map[string]any, file []byte, met *trouble) {
	outcome := map[string]any{"state": "DONE"}
	if met.status == 0 && met.reason != "" {
		wrong := map[string]any{"reason": met.reason, "message": "because of " + met.reason}
		outcome["errorResult"], outcome["errors"] = wrong, []any{wrong}
	} else {
		rows, err := parquet.Read[row](bytes.NewReader(file), int64(len(file)))
		if err != nil {
			f.t.Errorf("the file of %s: %v", id, err)
		}
		f.rows = append(f.rows, rows...)
	}
	job["status"], job["outcome"] = map[string]any{"state": "RUNNING"}, outcome
	f.jobs[id] = job
	f.order = append(f.order, id)
}

func (f *fake) readUpload(r *http.Request) (job map[string]any, file []byte) {
	_, kind, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || r.FormValue("uploadType") != "multipart" {
		f.t.Fatalf("an upload of %q: %v", r.Header.Get("Content-Type"), err)
	}
	parts := multipart.NewReader(r.Body, kind["boundary"])
	for i := range 2 {
		part, err := parts.NextPart()
		if err != nil {
			f.t.Fatal(err)
		}
		content, _ := io.ReadAll(part)
		if i == 1 {
			return job, content
		}
		if err := json.Unmarshal(content, &job); err != nil {
			f.t.Fatal(err)
		}
	}
	return nil, nil
}

// account is a service account's key as Google gives it.
func account(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "1", "client_email": "maidian@p.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (f *fake) open() forward.Loader {
	f.t.Helper()
	settings := &destination.BigQuery{ProjectID: "p", Dataset: "web", Table: "events", Location: "EU"}
	loader, err := Warehouse().Open(f.t.Context(), &forward.Account{Settings: settings, Key: account(f.t), Web: f})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { loader.Close() })
	return loader
}

func file(t testing.TB, ids ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	var rows []row
	for _, id := range ids {
		rows = append(rows, row{id, 1})
	}
	if err := parquet.Write(&out, rows); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAFileIsLoadedOnce(t *testing.T) {
	f := newFake(t)
	loader := f.open()
	content := file(t, "a", "b")
	for range 3 {
		if err := loader.Load(t.Context(), "batch-1", content); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.open().Load(t.Context(), "batch-2", file(t, "c")); err != nil {
		t.Fatal(err)
	}
	if len(f.rows) != 3 || strings.Join(f.order, " ") != "batch-1 batch-2" {
		t.Errorf("got the rows %v of the jobs %v", f.rows, f.order)
	}
}

func TestALostAnswerLoadsNothingTwice(t *testing.T) {
	f := newFake(t)
	f.upload = func(string) *trouble { return &trouble{status: 503, reason: "backendError", lost: true} }
	loader := f.open()
	if err := loader.Load(t.Context(), "batch-1", file(t, "a")); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("got %v, want an error to be tried again", err)
	}
	if err := loader.Load(t.Context(), "batch-1", file(t, "a")); err != nil || len(f.rows) != 1 {
		t.Errorf("got %v and %d rows, want 1", err, len(f.rows))
	}
}

// TestAFailedJobIsTriedAgainUnderAnotherID goes on, too, in a process that does
// not know how often it was tried.
func TestAFailedJobIsTriedAgainUnderAnotherID(t *testing.T) {
	f := newFake(t)
	failures := 0
	f.upload = func(string) *trouble {
		if failures++; failures > 6 {
			return nil
		}
		return &trouble{reason: "quotaExceeded"}
	}
	for tries := range 7 {
		err := f.open().Load(t.Context(), "batch-1", file(t, "a"))
		if tries == 6 {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		wrong := (*fault.Error)(nil)
		if !errors.As(err, &wrong) || wrong.Kind != fault.Unavailable || wrong.RetryAfter != failedWait || !strings.Contains(wrong.Message, "quotaExceeded") {
			t.Fatalf("try %d: got %+v, want the reason and a wait", tries, err)
		}
	}
	if err := f.open().Load(t.Context(), "batch-1", file(t, "a")); err != nil || len(f.rows) != 1 {
		t.Errorf("got %v and the rows %v, want one", err, f.rows)
	}
	if got := f.order[len(f.order)-1]; len(f.order) != 7 || got != "batch-1-try6" {
		t.Errorf("got the jobs %v", f.order)
	}
}

func TestWhatBigQueryRefusesCanBePutRight(t *testing.T) {
	for status, reason := range map[int]string{400: "invalid", 401: "authError", 403: "accessDenied", 404: "notFound", 429: "rateLimitExceeded", 503: "backendError"} {
		f := newFake(t)
		f.upload = func(string) *trouble { return &trouble{status: status, reason: reason} }
		begun := time.Now()
		err := f.open().Load(t.Context(), "batch-1", file(t, "a"))
		if fault.KindOf(err) != fault.Unavailable || !strings.Contains(fmt.Sprint(err), reason) {
			t.Errorf("%d: got %v after %s, want an error with %s", status, err, time.Since(begun), reason)
		}
	}
}

func TestOnlyAServiceAccountsKeyIsTaken(t *testing.T) {
	for _, key := range []string{``, `{}`, `{"type":"external_account","credential_source":{"executable":{"command":"/bin/true"}}}`} {
		_, err := Warehouse().Open(t.Context(), &forward.Account{Settings: &destination.BigQuery{}, Key: key, Web: http.DefaultTransport})
		if err == nil {
			t.Errorf("%s: got no error", key)
		}
	}
}
