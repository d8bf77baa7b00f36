package verdict

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"maidian-check/internal/ledger"
	"maidian-check/internal/stored"
	"maidian-check/internal/traffic"
)

// held is a store that a test has made up.
type held struct {
	stored.Store
	events  []stored.Event
	letters []stored.Letter
	journal map[string]stored.Entry
}

func (h *held) Events(_ context.Context, yield func(*stored.Event) error) error {
	for i := range h.events {
		if err := yield(&h.events[i]); err != nil {
			return err
		}
	}
	return nil
}
func (h *held) Letters(context.Context) ([]stored.Letter, error)         { return h.letters, nil }
func (h *held) Journal(context.Context) (map[string]stored.Entry, error) { return h.journal, nil }
func (h *held) Size(context.Context) (stored.Size, error)                { return stored.Size{}, nil }
func (h *held) Close() error                                             { return nil }

const now = int64(1_750_000_000_000)

// scene is a ledger of one batch of three good events that was accepted at
// once, and a store that holds them just as it should.
func scene() (*ledger.Ledger, *held) {
	plan := traffic.Plan{Seed: 1, Projects: []string{"p"}, Users: 9, Days: 2, Now: now}
	book := &ledger.Ledger{Plan: plan, Batches: []ledger.Batch{{ID: 0, Project: "p"}}}
	store := &held{}
	for k := 0; len(store.events) < 3; k++ {
		e := plan.Event("p", k)
		book.Batches[0].Events = append(book.Batches[0].Events, ledger.Event{K: k, ID: e.ID, Hash: e.Hash(), Kind: e.Kind})
		store.events = append(store.events, asStored(e, len(store.events)))
	}
	book.Tries = [][]ledger.Attempt{{{Try: ledger.Try{ID: 1, At: now}, Done: &ledger.Done{Try: 1, At: now + 10, Status: 200, Accepted: 3}}}}
	store.journal = map[string]stored.Entry{"p": {Stored: 3}}
	return book, store
}

func asStored(e traffic.Event, position int) stored.Event {
	fields := e.Want
	at := json.Number(fmt.Sprint(now + 5))
	fields["project"], fields["received_at"], fields["stored_at"], fields["timestamp"] = "p", at, at, at
	if sent, ok := fields["client_timestamp"]; ok {
		fields["timestamp"] = sent
	}
	fields["browser"], fields["page_path"] = "Chrome", "/"
	return stored.Event{Project: "p", ID: e.ID, Batch: "b", Position: position, Fields: fields}
}

func judge(t *testing.T, book *ledger.Ledger, store *held) *Report {
	t.Helper()
	r, _, err := Judge(t.Context(), book, store, time.UnixMilli(now))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// poisoned adds a message with one bad line.
func poisoned(book *ledger.Ledger, status int) {
	book.Batches = append(book.Batches, ledger.Batch{ID: -1, Project: "p", Letters: []string{traffic.HashText([]byte("bad"))}})
	book.Tries = append(book.Tries, []ledger.Attempt{{Try: ledger.Try{ID: -1, Batch: -1, At: now}, Done: &ledger.Done{At: now, Status: status}}})
}

func TestVerdict(t *testing.T) {
	done := func(b *ledger.Ledger) *ledger.Done { return b.Tries[0][0].Done }
	for name, tt := range map[string]struct {
		change func(*ledger.Ledger, *held)
		broken string // rules with a finding
		counts func(*Report) bool
	}{
		"all is well": {
			func(*ledger.Ledger, *held) {}, "",
			func(r *Report) bool {
				return r.Attempted == 3 && r.Acknowledged == 3 && r.Stored == 3 && r.Recovered == 0
			},
		},
		"one is missing": {
			func(_ *ledger.Ledger, s *held) {
				s.events = s.events[1:]
				s.journal["p"] = stored.Entry{Stored: 2, Duplicates: 1}
			}, "lost",
			func(r *Report) bool { return r.Lost == 1 },
		},
		"the journal counts one that is missing": {
			func(_ *ledger.Ledger, s *held) { s.events = s.events[1:] }, "journal lost", nil,
		},
		"one is missing that nobody acknowledged": {
			func(b *ledger.Ledger, s *held) {
				done(b).Status, done(b).Accepted = 503, 0
				s.events, s.journal["p"] = s.events[1:], stored.Entry{Stored: 2}
			}, "",
			func(r *Report) bool { return r.Recovered == 2 && r.Acknowledged == 0 },
		},
		"the sender was killed": {
			func(b *ledger.Ledger, _ *held) { b.Tries[0][0].Done = nil }, "",
			func(r *Report) bool { return r.Recovered == 3 && r.Requests["no end"].Count == 1 },
		},
		"one is there twice": {
			func(_ *ledger.Ledger, s *held) {
				again := s.events[1]
				again.Batch = "c"
				s.events = append(s.events, again)
				s.journal["p"] = stored.Entry{Stored: 4}
			}, "duplicated journal",
			func(r *Report) bool { return r.Duplicated == 1 },
		},
		"two stand at one place": {
			func(_ *ledger.Ledger, s *held) { s.events[2].Position = 1 }, "place", nil,
		},
		"a field is missing": {
			func(_ *ledger.Ledger, s *held) { delete(s.events[0].Fields, "page_url") }, "altered",
			func(r *Report) bool {
				return r.Altered == 1 && strings.Contains(r.Findings[0].Examples[0], "page_url is null, sent was")
			},
		},
		"a field is too many": {
			func(_ *ledger.Ledger, s *held) { s.events[0].Fields["nonsense"] = 1 }, "altered", nil,
		},
		"it is filed under another project": {
			func(_ *ledger.Ledger, s *held) { s.events[0].Fields["project"] = "q" }, "altered", nil,
		},
		"a time is wrong": {
			func(_ *ledger.Ledger, s *held) { s.events[0].Fields["timestamp"] = json.Number("5") }, "altered", nil,
		},
		"it was received before it was sent": {
			func(_ *ledger.Ledger, s *held) { s.events[0].Fields["received_at"] = json.Number("5") }, "altered", nil,
		},
		"a stranger is there": {
			func(_ *ledger.Ledger, s *held) {
				s.events = append(s.events, stored.Event{Project: "p", ID: "x", Batch: "c", Fields: map[string]any{}})
				s.journal["p"] = stored.Entry{Stored: 4}
			}, "journal unexpected", nil,
		},
		"what was refused is there": {
			func(b *ledger.Ledger, s *held) { done(b).Status, done(b).Accepted = 400, 0 }, "journal unexpected",
			func(r *Report) bool { return r.Rejected == 3 && r.Unexpected == 3 },
		},
		"one of a batch was refused, and is there": {
			func(b *ledger.Ledger, s *held) { done(b).Rejected, done(b).Accepted = []int{1}, 2 }, "journal unexpected",
			func(r *Report) bool { return r.Unexpected == 1 && r.Acknowledged == 2 },
		},
		"refused once, accepted later": {
			func(b *ledger.Ledger, s *held) {
				b.Tries[0] = append([]ledger.Attempt{{Try: ledger.Try{At: now}, Done: &ledger.Done{At: now, Status: 429}}}, b.Tries[0]...)
			}, "", nil,
		},
		"an invalid event was taken": {
			func(b *ledger.Ledger, s *held) { b.Batches[0].Events[0].Kind = traffic.Invalid }, "unexpected", nil,
		},
		"more is accounted for than got in": {
			func(_ *ledger.Ledger, s *held) { s.journal["p"] = stored.Entry{Stored: 3, Duplicates: 1} }, "journal", nil,
		},
		"less is accounted for than got in": {
			func(b *ledger.Ledger, _ *held) { b.Tries[0] = append(b.Tries[0], b.Tries[0][0]) }, "journal", nil,
		},
		"the poison is a dead letter": {
			func(b *ledger.Ledger, s *held) {
				poisoned(b, 200)
				s.letters = []stored.Letter{{ID: "m/0", Payload: []byte("bad")}}
			}, "",
			func(r *Report) bool { return r.DeadLettered == 1 && r.Requests["200"].Count == 1 },
		},
		"the poison is no dead letter": {
			func(b *ledger.Ledger, s *held) { poisoned(b, 200) }, "dead letters", nil,
		},
		"poison that never reached the queue is none either": {
			func(b *ledger.Ledger, s *held) { poisoned(b, 0) }, "", nil,
		},
		"the poison is two letters": {
			func(b *ledger.Ledger, s *held) {
				poisoned(b, 200)
				s.letters = []stored.Letter{{ID: "m/0", Payload: []byte("bad")}, {ID: "m/1", Payload: []byte("bad")}}
			}, "dead letters", nil,
		},
		"an innocent is a dead letter": {
			func(b *ledger.Ledger, s *held) {
				s.letters = []stored.Letter{{ID: "m/0", Payload: fmt.Appendf(nil, `{"project":"p","event_id":%q}`, s.events[0].ID)}}
				s.events = s.events[1:]
				s.journal["p"] = stored.Entry{Stored: 2, DeadLettered: 1}
			}, "dead letters",
			func(r *Report) bool { return r.Lost == 0 },
		},
		"a letter of nobody": {
			func(_ *ledger.Ledger, s *held) { s.letters = []stored.Letter{{ID: "m/0", Payload: []byte("?")}} }, "dead letters", nil,
		},
		"a pill is more letters than it was sent": {
			func(b *ledger.Ledger, s *held) {
				b.Batches[0].Events[0].Kind = traffic.Pill
				pill := stored.Letter{ID: "m/0", Payload: fmt.Appendf(nil, `{"project":"p","event_id":%q}`, s.events[0].ID)}
				s.letters = []stored.Letter{pill, pill}
				s.events = s.events[1:]
				s.journal["p"] = stored.Entry{Stored: 2, DeadLettered: 1}
			}, "dead letters", nil,
		},
		"a pill is a dead letter": {
			func(b *ledger.Ledger, s *held) {
				b.Batches[0].Events[0].Kind = traffic.Pill
				s.letters = []stored.Letter{{ID: "m/0", Payload: fmt.Appendf(nil, `{"project":"p","event_id":%q}`, s.events[0].ID)}}
				s.events = s.events[1:]
				s.journal["p"] = stored.Entry{Stored: 2, DeadLettered: 1}
			}, "", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			book, store := scene()
			tt.change(book, store)
			r := judge(t, book, store)
			var broken []string
			for _, f := range r.Findings {
				broken = append(broken, f.Rule)
			}
			if want := strings.Fields(strings.ReplaceAll(tt.broken, "dead letters", "dead_letters")); fmt.Sprint(broken) != strings.ReplaceAll(fmt.Sprint(want), "_", " ") {
				t.Errorf("broken are %v, want %v: %+v", broken, want, r.Findings)
			}
			if tt.counts != nil && !tt.counts(r) {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestATimeIsCorrectedByTheRules(t *testing.T) {
	const hour = 60 * 60 * 1000
	for name, tt := range map[string]struct{ at, sentAt, want int64 }{
		"no sent_at":                     {now - hour, 0, now - hour},
		"a clock a minute off is right":  {now - hour, now - 60_000, now - hour},
		"a slow clock":                   {now - 2*hour, now - hour, now - hour},
		"a fast clock":                   {now + 2*hour, now + 3*hour, now - hour},
		"a day ahead is still believed":  {now + 24*hour, 0, now + 24*hour},
		"more than a day ahead is not":   {now + 24*hour + 1, 0, now},
		"nor is it after the correction": {now, now - 100*24*hour, now},
		"ten years behind is put right":  {now - 10*365*24*hour, now - 10*365*24*hour, now},
	} {
		if got := corrected(tt.at, now, &ledger.Attempt{Try: ledger.Try{SentAt: tt.sentAt}}, false); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got-now, tt.want-now)
		}
	}
	if got := corrected(now-hour, now, &ledger.Attempt{Try: ledger.Try{SentAt: now - hour}}, true); got != now-hour {
		t.Errorf("what did not pass the collector was corrected by %d", got-now+hour)
	}
}

func TestResumptionIsTheFirstAfterTheMoment(t *testing.T) {
	book, store := scene()
	r := judge(t, book, store)
	if got := *r.Resumed; got != (Resumed{Accepting: 10, Storing: 5}) {
		t.Errorf("got %+v", got)
	}
}

func TestExamplesAreFewAndCountsAreWhole(t *testing.T) {
	var r Report
	for range 3 {
		r.Found(Lost, slices.Repeat([]string{"x"}, 4)...)
	}
	if len(r.Findings) != 1 || r.Findings[0].Count != 12 || len(r.Findings[0].Examples) != mostExamples {
		t.Errorf("got %+v", r.Findings)
	}
}
