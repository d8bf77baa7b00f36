package load

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"maidian-check/internal/ledger"
	"maidian-check/internal/traffic"
)

// sent runs a load of 300 events on a collector made up of answer, which is
// told how often the body came before, and reads the ledger.
func sent(t *testing.T, change func(*Options), answer func(w http.ResponseWriter, ids []string, before int)) *ledger.Ledger {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request struct {
			Events []struct {
				ID string `json:"event_id"`
			}
		}
		if err := json.Unmarshal(body, &request); err != nil || r.Header.Get("X-Api-Key") != "wk" {
			t.Errorf("%v in %s with the key %q", err, body, r.Header.Get("X-Api-Key"))
		}
		var ids []string
		for _, e := range request.Events {
			ids = append(ids, e.ID)
		}
		mu.Lock()
		before := seen[fmt.Sprint(ids)]
		seen[fmt.Sprint(ids)]++
		mu.Unlock()
		answer(w, ids, before)
	}))
	defer server.Close()
	o := Options{
		Collectors: []string{server.URL}, WriteKeys: map[string]string{"p": "wk"}, Concurrency: 4, Duration: time.Minute, Events: 300,
		Sizes: []int{1, 7}, Patience: time.Minute, Timeout: 10 * time.Second, MaxWait: 10 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	plan := &traffic.Plan{Seed: 1, Projects: []string{"p"}, Users: 10, Days: 1, Now: ledger.Now()}
	path := filepath.Join(t.TempDir(), "ledger")
	book, err := ledger.Create(path, plan)
	if err == nil {
		err = Run(t.Context(), plan, o, book)
	}
	if err == nil {
		err = book.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func accept(w http.ResponseWriter, ids []string, _ int) {
	fmt.Fprintf(w, `{"accepted":%d,"rejected":0,"errors":[]}`, len(ids))
}

func TestEveryEventIsSentAndWrittenDown(t *testing.T) {
	l := sent(t, nil, accept)
	ids := map[string]bool{}
	for i, b := range l.Batches {
		for _, e := range b.Events {
			ids[e.ID] = true
		}
		if tries := l.Tries[i]; len(tries) != 1 || tries[0].Accepted != len(b.Events) {
			t.Errorf("batch %d has the tries %+v", b.ID, tries)
		}
	}
	if len(ids) < 300 {
		t.Errorf("%d events were sent, want at least 300", len(ids))
	}
}

func TestWhatIsNotAcceptedIsSentAgainAsItWas(t *testing.T) {
	for name, first := range map[string]func(w http.ResponseWriter){
		"503":       func(w http.ResponseWriter) { w.Header().Set("Retry-After", "1"); w.WriteHeader(503) },
		"429":       func(w http.ResponseWriter) { w.WriteHeader(429) },
		"no answer": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"nonsense":  func(w http.ResponseWriter) { io.WriteString(w, "yes") },
	} {
		t.Run(name, func(t *testing.T) {
			l := sent(t, nil, func(w http.ResponseWriter, ids []string, before int) {
				if before == 0 {
					first(w)
					return
				}
				accept(w, ids, 0)
			})
			for i := range l.Batches {
				tries := l.Tries[i]
				if last := tries[len(tries)-1]; len(tries) != 2 || last.Done == nil || last.Status != 200 {
					t.Fatalf("batch %d has the tries %+v", i, tries)
				}
			}
		})
	}
}

func TestWhatIsRefusedForGoodIsNotSentAgain(t *testing.T) {
	l := sent(t, nil, func(w http.ResponseWriter, _ []string, _ int) {
		w.WriteHeader(400)
		io.WriteString(w, `{"accepted":0,"rejected":1,"errors":[{"index":0},{"index":0},{"index":3}]}`)
	})
	for i := range l.Batches {
		if tries := l.Tries[i]; len(tries) != 1 || fmt.Sprint(tries[0].Rejected) != "[0 3]" || tries[0].Unknown() {
			t.Fatalf("batch %d has the tries %+v", i, tries)
		}
	}
}

func TestSomeGiveUp(t *testing.T) {
	l := sent(t, func(o *Options) { o.GiveUp = 1 }, func(w http.ResponseWriter, _ []string, _ int) { w.WriteHeader(503) })
	for i := range l.Batches {
		if tries := l.Tries[i]; len(tries) != 1 || !tries[0].Unknown() {
			t.Fatalf("batch %d has the tries %+v", i, tries)
		}
	}
}

func TestDifficultClients(t *testing.T) {
	l := sent(t, func(o *Options) { o.Resend, o.Repeat, o.Skew = 1, 0.3, 0.5 }, accept)
	repeated, skewed := 0, 0
	seen := map[string]int{}
	for i, b := range l.Batches {
		if n := len(l.Tries[i]); n < 2 || n > 6 {
			t.Errorf("batch %d was sent %d times, want 2 to 6", i, n)
		}
		for _, e := range b.Events {
			if at, ok := seen[e.ID]; ok && at != b.ID {
				repeated++
			}
			seen[e.ID] = b.ID
		}
		if l.Tries[i][0].SentAt != 0 {
			skewed++
		}
	}
	if repeated == 0 || skewed == 0 || skewed == len(l.Batches) {
		t.Errorf("%d events came in a later batch again, %d of %d batches said when they were sent; want some of each", repeated, skewed, len(l.Batches))
	}
}
