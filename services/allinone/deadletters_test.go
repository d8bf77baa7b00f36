package allinone_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/jetstream"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/consumer"
)

// stumbling is a store with a bug in it: some events make it panic.
type stumbling struct{ store.Store }

func (s stumbling) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	for i := range events {
		if strings.Contains(events[i].Properties, "poison") {
			panic("index out of range")
		}
	}
	return s.Store.InsertEvents(ctx, events)
}

// consume brings the system's queue to a store, in place of its own consumer.
func (s *system) consume(with store.Store) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := proc.New("consumer", zap.NewNop(), prometheus.NewRegistry(), proc.Options{Drain: 20 * time.Second})
	done := make(chan error, 1)
	settings := consumer.Settings{Enabled: true, BatchSize: 1000, BatchBytes: 1 << 20, Prefetch: 500, Workers: 1}
	go func() {
		done <- p.Run(ctx, func(ctx context.Context, p *proc.Process) error {
			receiver := s.Queue.(*jetstream.Server).Receiver(settings.Limits(), nil)
			return consumer.Serve(ctx, &settings, p, consumer.Deps{Receivers: []bus.Receiver{receiver}, Store: with})
		})
	}()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

// An event that nothing could store is accepted, becomes a dead letter, and is
// stored under its own id when it is replayed; a second replay changes nothing.
func TestAPoisonousEventIsStoredOnceWhenItIsReplayed(t *testing.T) {
	c := config(t)
	c.Consumer.Enabled = false
	s := start(t, c)
	s.consume(stumbling{s.Store})
	shop := s.project("shop")
	poison := visit("poison", "ann", "2026-03-02T10:00:00Z")
	poison["properties"] = map[string]any{"bottle": "poison"}
	s.send(shop.WriteKey, visit("first", "ann", "2026-03-02T10:00:00Z"), poison, visit("last", "ann", "2026-03-02T10:01:00Z"))
	s.visible(shop.ReadKey, "2026-03-01", "2026-03-31", 2)

	letters := s.query + "/api/v1/admin/projects/shop/dead-letters"
	var page struct {
		Letters []struct{ ID, Reason string } `json:"dead_letters"`
	}
	eventually(t, "the dead letter", func() bool {
		s.call(http.MethodGet, letters+"?event_type=page_view&text=bottle", allinone.DemoAdminKey, nil, &page)
		return len(page.Letters) == 1
	})
	id := page.Letters[0].ID
	var open struct {
		Key    string
		Events []struct {
			ID string `json:"event_id"`
		}
	}
	s.call(http.MethodGet, letters+"/"+url.PathEscape(id), allinone.DemoAdminKey, nil, &open)
	if len(open.Events) != 1 || open.Events[0].ID != "poison" || open.Key == "" || !strings.Contains(page.Letters[0].Reason, "panic") {
		t.Fatalf("got the letter %+v, %+v", page.Letters[0], open)
	}
	kept, err := s.Store.DeadLetter(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}

	replay := func(selection map[string]any, want string) {
		t.Helper()
		var done struct{ Replayed, Stored, Duplicates, Kept int }
		s.call(http.MethodPost, letters+"/replay", allinone.DemoAdminKey, selection, &done)
		if got := fmt.Sprint(done); got != want {
			t.Errorf("replay %v: got %s, want %s", selection, got, want)
		}
	}
	replay(map[string]any{"filter": map[string]any{"reason": "panic"}, "dry_run": true}, "{1 1 0 0}")
	if _, err := s.Store.Event(t.Context(), "shop", "poison"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after a dry run the event is there: %v", err)
	}
	replay(map[string]any{"ids": []string{id}}, "{1 1 0 0}")
	s.visible(shop.ReadKey, "2026-03-01", "2026-03-31", 3)
	if status := s.call(http.MethodPost, letters+"/replay", allinone.DemoAdminKey, map[string]any{"ids": []string{id}}, nil); status != http.StatusNotFound {
		t.Errorf("a letter that is gone: got %d, want 404", status)
	}
	// The letter is back, as after a crash before it was deleted, and so is the client, with a retry.
	if err := s.Store.PutDeadLetters(t.Context(), []store.DeadLetter{*kept}); err != nil {
		t.Fatal(err)
	}
	replay(map[string]any{}, "{1 1 0 0}")
	delete(poison, "properties")
	s.send(shop.WriteKey, poison)
	var got sheet
	eventually(t, "the accounts to be settled", func() bool {
		s.ask(shop.ReadKey, "accounting", map[string]any{"days": 2}, &got)
		return got.Accepted == 4 && got.Queued == 0 && got.Unclaimed == 0
	})
	if got.Stored != 3 || got.Duplicates != 1 || got.DeadLettered != 0 || got.Difference != 0 {
		t.Errorf("got %+v, want three stored, the retry a duplicate, and no dead letter", got)
	}
	s.visible(shop.ReadKey, "2026-03-01", "2026-03-31", 3)
	e, err := s.Store.Event(t.Context(), "shop", "poison")
	if err != nil {
		t.Fatal(err)
	}
	var bottle struct{ Bottle string }
	if err := json.Unmarshal([]byte(e.Properties), &bottle); err != nil || bottle.Bottle != "poison" || e.UserID != "ann" {
		t.Errorf("got the event %+v, want it as it was sent", e)
	}
}
