package api_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

const shop, blog = projects + "/shop", projects + "/blog"

// finished waits for a job's end.
func (s *service) finished(path string) answer {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); ; {
		job := s.get(adminKey, path).ok()
		if job.json("finished_at") != nil {
			return job
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("still %s", job.body)
		}
	}
}

// erasing has the service do jobs until the test ends.
func (s *service) erasing() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.eraser.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-ended })
}

func TestAPersonIsErasedInAJob(t *testing.T) {
	s := start(t)
	ann := event.Event{EventType: "page_view", UserID: "ann@shop.example", Timestamp: at("10:00:00")}
	bob := event.Event{EventType: "page_view", UserID: "bob", Timestamp: at("10:00:00")}
	s.send("shop", ann, bob, ann)
	s.send("shop", ann)
	s.send("blog", ann)

	asked := s.post(adminKey, shop+"/erase", `{"user_id": "ann@shop.example"}`).ok()
	if asked.status != http.StatusAccepted {
		t.Errorf("got %d, want 202", asked.status)
	}
	asked.has("state", `"waiting"`)
	path := "/jobs/" + asked.json("job").(string)
	s.get(adminKey, shop+path).ok().has("counts", `{"batches":0,"dead_letters":0,"events":0,"segments":0}`)
	s.erasing()
	done := s.finished(shop + path)
	done.has("state", `"done"`)
	done.has("error", `null`)
	done.has("counts", `{"batches":2,"dead_letters":0,"events":3,"segments":0}`)
	if bytes.Contains(done.body, []byte("ann")) {
		t.Errorf("the job still says whom it was about: %s", done.body)
	}
	if other := s.get(adminKey, blog+path); other.status != http.StatusNotFound || other.json("error.code") != "unknown_job" {
		t.Errorf("in another project: got %d %s, want 404", other.status, other.body)
	}
	if _, err := s.store.Event(t.Context(), "blog", "3.0"); err != nil {
		t.Errorf("another project's event: %v", err)
	}
	sum := s.post(shopKey, "accounting", `{}`).ok()
	sum.has("stored", `4`)
	sum.has("erased", `3`)
}

func TestErasuresThatCannotBeAskedFor(t *testing.T) {
	s := start(t)
	long := strings.Repeat("é", 201)
	for name, tt := range map[string]struct {
		path, body  string
		status      int
		code, field string
	}{
		"of nobody":              {shop, `{}`, 400, "invalid_field", ""},
		"of nothing":             {shop, ``, 400, "invalid_field", ""},
		"of two":                 {shop, `{"user_id": "a", "anonymous_id": "b"}`, 400, "invalid_field", ""},
		"of null":                {shop, `{"user_id": null}`, 400, "invalid_field", ""},
		"of an empty id":         {shop, `{"user_id": ""}`, 400, "invalid_field", "user_id"},
		"of too long an id":      {shop, `{"anonymous_id": "` + long + `"}`, 400, "invalid_field", "anonymous_id"},
		"of an object":           {shop, `{"user_id": {}}`, 400, "invalid_field", "user_id"},
		"of a fraction":          {shop, `{"user_id": 1.5}`, 400, "invalid_field", "user_id"},
		"of a number as a guest": {shop, `{"anonymous_id": 5}`, 400, "invalid_field", "anonymous_id"},
		"by a misspelt name":     {shop, `{"user": "a"}`, 400, "invalid_field", "user"},
		"from no project":        {projects + "/none", `{"user_id": "a"}`, 404, "unknown_project", ""},
		"from all projects":      {projects + "/*", `{"user_id": "a"}`, 404, "unknown_project", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			answer := s.post(adminKey, tt.path+"/erase", tt.body)
			code, _ := answer.json("error.code").(string)
			field, _ := answer.json("error.field").(string)
			if answer.status != tt.status || code != tt.code || field != tt.field {
				t.Errorf("got %d %q %q (%s), want %d %q %q", answer.status, code, field, answer.body, tt.status, tt.code, tt.field)
			}
		})
	}
	s.t = t
	for _, path := range []string{shop + "/jobs/none", projects + "/none/jobs/none"} {
		if answer := s.get(adminKey, path); answer.status != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, answer.status)
		}
	}
	if answer := s.post(shopKey, shop+"/erase", `{"user_id": "a"}`); answer.status != http.StatusForbidden {
		t.Errorf("with a read key: got %d, want 403", answer.status)
	}
	if jobs, err := s.store.UnfinishedJobs(t.Context()); err != nil || len(jobs) > 0 {
		t.Errorf("jobs all the same: %v, %v", jobs, err)
	}
}

func TestANumberIsTheUserOfItsDigits(t *testing.T) {
	s := start(t)
	s.send("shop", event.Event{EventType: "click", UserID: "12345678901234567890", Timestamp: at("10:00:00")})
	asked := s.post(adminKey, shop+"/erase", `{"user_id": 12345678901234567890}`).ok()
	s.erasing()
	s.finished(shop+"/jobs/"+asked.json("job").(string)).has("counts.events", `1`)
	if _, err := s.store.Event(t.Context(), "shop", "1.0"); err != store.ErrNotFound {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
