package api_test

import (
	"context"
	"net/http"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/services/query/internal/prune"
)

// pruning has the service do jobs until the test ends.
func (s *service) pruning() {
	p := prune.New(s.store, zap.NewNop(), nil, func() time.Time { return s.now }, prune.Options{Poll: 5 * time.Millisecond, Grace: 1})
	s.admin.PruneWith(p)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-ended })
}

func TestWhatIsOldIsPrunedInAJob(t *testing.T) {
	s := start(t)
	s.post(adminKey, shop+"/prune", `{"older_than": "30d"}`).fails(http.StatusServiceUnavailable, "no_pruner", "")
	s.pruning()
	asked := s.post(adminKey, shop+"/prune", `{"older_than": "30d", "dry_run": true}`).ok()
	if asked.status != http.StatusAccepted {
		t.Errorf("got %d, want 202", asked.status)
	}
	asked.has("kind", `"prune"`)
	s.finished(shop+"/jobs/"+asked.json("job").(string)).has("state", `"done"`)
	s.get(adminKey, shop).ok().has("retained_from", `null`)

	asked = s.post(adminKey, shop+"/prune", `{"older_than": "2w"}`).ok()
	s.finished(shop+"/jobs/"+asked.json("job").(string)).has("state", `"done"`)
	s.get(adminKey, shop).ok().has("retained_from", `"2026-06-01T00:00:00.000Z"`)

	for _, wrong := range []string{``, `{}`, `{"older_than": "1h"}`, `{"older_than": "0d"}`, `{"older_than": "36h"}`, `{"older_than": "x"}`} {
		s.post(adminKey, shop+"/prune", wrong).fails(http.StatusBadRequest, "invalid_field", "older_than")
	}
	s.post(adminKey, projects+"/nobody/prune", `{"older_than": "30d"}`).fails(http.StatusNotFound, "unknown_project", "")
}

func TestAProjectSaysHowLongItKeepsEvents(t *testing.T) {
	s := start(t)
	s.get(adminKey, shop).ok().has("retention_days", `0`)
	s.do(http.MethodPatch, adminKey, shop, `{"retention_days": 7}`).ok().has("retention_days", `7`)
	s.do(http.MethodPatch, adminKey, shop, `{"name": "Shop"}`).ok().has("retention_days", `7`)
	s.do(http.MethodPatch, adminKey, shop, `{"retention_days": -1}`).fails(http.StatusBadRequest, "invalid_field", "retention_days")
	s.pruning()
	for s.get(adminKey, shop+"/jobs/job_retention").status == http.StatusNotFound { // until the pruner has looked
		runtime.Gosched()
	}
	s.finished(shop+"/jobs/job_retention").has("state", `"done"`)
	s.get(adminKey, shop).ok().has("retained_from", `"2026-06-08T00:00:00.000Z"`)
}
