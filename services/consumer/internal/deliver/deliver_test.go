package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

var errAway = fault.New(fault.Unavailable, "store_away", "the store is away")

func TestMessageComesToItsEnd(t *testing.T) {
	raw := func(body string) bus.Delivery {
		return bus.Delivery{Message: bus.Message{ID: "b1", Body: []byte(body)}, Attempt: 1}
	}
	newer := raw(`{"maidian":99,"batch":"b1","events":1}` + "\n" + `{}` + "\n")
	newerTooOften := newer
	newerTooOften.Attempt = newerAttempts
	lacking := deliveryOf("b1", event.Event{Project: "shop", EventID: "e", EventType: "click"})

	tests := map[string]struct {
		delivery bus.Delivery
		errs     map[string][]error
		want     bus.Outcome
		counts   [3]int // stored, duplicates, dead-lettered in the journal
		letters  []string
	}{
		"stored":                              {msg("b1", "a", "b"), nil, bus.Done, [3]int{2, 0, 0}, nil},
		"the same event twice":                {msg("b1", "a", "a"), nil, bus.Done, [3]int{1, 1, 0}, nil},
		"store away is tried again":           {msg("b1", "a"), map[string][]error{"insert": {errAway, errAway, errAway}}, bus.Done, [3]int{1, 0, 0}, nil},
		"journal away is tried again":         {msg("b1", "a"), map[string][]error{"journal": {errAway, errAway}}, bus.Done, [3]int{1, 0, 0}, nil},
		"dead letters away are tried again":   {msg("b1", "bad"), map[string][]error{"dead_letters": {errAway, errAway}}, bus.Done, [3]int{0, 0, 1}, []string{"b1/0"}},
		"a failure nobody knows may pass":     {msg("b1", "a"), map[string][]error{"insert": {errors.New("what?"), errors.New("what?")}}, bus.Done, [3]int{1, 0, 0}, nil},
		"impossible event":                    {msg("b1", "a", "bad", "c"), nil, bus.Done, [3]int{2, 0, 1}, []string{"b1/1"}},
		"event that panics":                   {msg("b1", "a", "panic", "c"), nil, bus.Done, [3]int{2, 0, 1}, []string{"b1/1"}},
		"event that fails for no known cause": {msg("b1", "a", "odd"), nil, bus.Again, [3]int{}, nil},
		"event without a timestamp":           {lacking, nil, bus.Done, [3]int{0, 0, 1}, []string{"b1/0"}},
		"unreadable message":                  {raw("{"), nil, bus.Done, [3]int{0, 0, 1}, []string{"b1/-1"}},
		"empty message":                       {raw(""), nil, bus.Done, [3]int{0, 0, 1}, []string{"b1/-1"}},
		"truncated message":                   {raw(`{"maidian":1,"batch":"b1","events":7}` + "\n"), nil, bus.Done, [3]int{0, 0, 7}, []string{"b1/-1"}},
		"newer version":                       {newer, nil, bus.Again, [3]int{}, nil},
		"newer version that nobody reads":     {newerTooOften, nil, bus.Done, [3]int{0, 0, 1}, []string{"b1/-1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newMemory()
				s.errs = tt.errs
				if s.errs == nil {
					s.errs = map[string][]error{}
				}
				got := deliverer(t, s).Handle(t.Context(), []bus.Delivery{tt.delivery})
				if !slices.Equal(got, []bus.Outcome{tt.want}) {
					t.Errorf("outcome %v, want %v", got, tt.want)
				}
				var counts [3]int
				for _, b := range s.batches {
					counts = [3]int{counts[0] + b.Stored, counts[1] + b.Duplicates, counts[2] + b.DeadLettered}
				}
				if counts != tt.counts {
					t.Errorf("journal says %v, want %v", counts, tt.counts)
				}
				for _, id := range tt.letters {
					if l, ok := s.letters[id]; !ok || l.Reason == "" || l.Attempts != tt.delivery.Attempt {
						t.Errorf("dead letter %s is %+v", id, l)
					}
				}
				if len(s.letters) != len(tt.letters) {
					t.Errorf("dead letters %v, want %v", s.letters, tt.letters)
				}
			})
		})
	}
}

func TestUnreadableLineDoesNotHoldUpItsMessage(t *testing.T) {
	d := msg("b1", "a", "b", "c")
	d.Body = []byte(strings.Replace(string(d.Body), `"event_id":"b"`, `"event_id":`, 1))
	s := newMemory()
	got := deliverer(t, s).Handle(t.Context(), []bus.Delivery{d})
	want := store.Batch{ID: "b1", Project: "shop", ReceivedAt: 86400_500, Stored: 2, DeadLettered: 1, Days: []int32{1}, Accounts: []store.Account{{Hour: 24, Stored: 2}, {DeadLettered: 1}}}
	entry := s.batches[[2]string{"b1", "shop"}]
	entry.WrittenAt = 0
	if got[0] != bus.Done || !reflect.DeepEqual(entry, want) {
		t.Errorf("%v, %+v, want Done, %+v", got, entry, want)
	}
	if l := s.letters["b1/1"]; l.Project != "shop" || !strings.Contains(string(l.Payload), `"event_id":,`) {
		t.Errorf("the line's letter is %+v", l)
	}
}

func TestDeadLetterCanBeReplayed(t *testing.T) {
	s := newMemory()
	deliverer(t, s).Handle(t.Context(), []bus.Delivery{msg("b1", "bad")})
	e, err := event.DecodeWire(string(s.letters["b1/0"].Payload))
	if err != nil || e.EventID != "bad" || e.StoredAt != 0 {
		t.Errorf("payload reads as %+v, %v; want the event as it was sent", e, err)
	}
}

func TestOneInsertTakesManyMessages(t *testing.T) {
	s := newMemory()
	got := deliverer(t, s).Handle(t.Context(), []bus.Delivery{msg("b1", "a"), msg("b2", "b", "c"), msg("b3", "a")})
	if s.inserts != 1 || slices.Contains(got, bus.Again) {
		t.Errorf("%d inserts, outcomes %v", s.inserts, got)
	}
	if b := s.batches[[2]string{"b3", "shop"}]; b.Duplicates != 1 || b.Stored != 0 || len(b.Days) != 0 {
		t.Errorf("the third message brought nothing new, journal says %+v", b)
	}
}

func TestBigGroupIsInsertedInParts(t *testing.T) {
	s := newMemory()
	d := deliverer(t, s)
	d.most = 2
	d.Handle(t.Context(), []bus.Delivery{msg("b1", "a", "b", "c"), msg("b2", "d", "e")})
	if s.inserts != 3 || len(s.events) != 5 {
		t.Errorf("%d events in %d inserts, want 5 in 3", len(s.events), s.inserts)
	}
}

func TestJournalHasAnEntryForEachProject(t *testing.T) {
	const day = 86400_000
	s := newMemory()
	deliverer(t, s).Handle(t.Context(), []bus.Delivery{deliveryOf(
		"b1",
		event.Event{Project: "shop", EventID: "1", EventType: "x", Timestamp: 9 * day, ReceivedAt: 70},
		event.Event{Project: "blog", EventID: "1", EventType: "x", Timestamp: 3 * day, ReceivedAt: 50},
		event.Event{Project: "shop", EventID: "2", EventType: "x", Timestamp: 2 * day, ReceivedAt: 60},
	)})
	shop, blog := s.batches[[2]string{"b1", "shop"}], s.batches[[2]string{"b1", "blog"}]
	if shop.Stored != 2 || !slices.Equal(shop.Days, []int32{2, 9}) || shop.ReceivedAt != 60 {
		t.Errorf("shop: %+v", shop)
	}
	if blog.Stored != 1 || !slices.Equal(blog.Days, []int32{3}) || blog.ReceivedAt != 50 {
		t.Errorf("blog: %+v", blog)
	}
}

func TestMessageSentTwiceCountsOnce(t *testing.T) {
	s := newMemory()
	got := deliverer(t, s).Handle(t.Context(), []bus.Delivery{msg("b1", "a", "b"), msg("b2", "c"), msg("b1", "a", "b")})
	if want := []bus.Outcome{bus.Done, bus.Done, bus.Done}; !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	if b := s.batches[[2]string{"b1", "shop"}]; b.Stored != 2 || b.Duplicates != 0 {
		t.Errorf("journal says %+v, want 2 stored", b)
	}
}

func TestStuckEventHoldsUpOnlyItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		got := deliverer(t, s).Handle(t.Context(), []bus.Delivery{msg("b1", "a"), msg("b2", "odd", "b"), msg("b3", "c")})
		if want := []bus.Outcome{bus.Done, bus.Again, bus.Done}; !slices.Equal(got, want) {
			t.Errorf("outcomes %v, want %v", got, want)
		}
		if len(s.batches) != 2 {
			t.Errorf("journal %v, want no entry for the message that is not settled", s.batches)
		}
	})
}

func TestFailingStoreIsNotTakenForBadEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		for range 10 { // it fails for no known reason, and does not answer a ping either
			s.errs["insert"] = append(s.errs["insert"], errors.New("broken pipe"))
			s.errs["ping"] = append(s.errs["ping"], errAway)
		}
		got := deliverer(t, s).Handle(t.Context(), []bus.Delivery{msg("b1", "a", "b", "c")})
		if got[0] != bus.Done || s.inserts != 11 {
			t.Errorf("%v after %d inserts, want Done after 10 failed and one good one", got, s.inserts)
		}
	})
}

func TestStopWhileStoreIsAwayGivesEverythingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		s.errs["insert"] = slices.Repeat([]error{errAway}, 1000)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d := deliverer(t, s)
		got := d.Handle(ctx, []bus.Delivery{msg("b1", "a"), msg("b2", "b")})
		if want := []bus.Outcome{bus.Again, bus.Again}; !slices.Equal(got, want) {
			t.Errorf("outcomes %v, want %v", got, want)
		}
		if s.inserts < 60 || s.inserts > 130 {
			t.Errorf("%d tries in a minute, want a pause that grows to half a second at least and one at most", s.inserts)
		}
		if d.Ready() == nil {
			t.Error("ready while the store is away")
		}
	})
}

func TestStopLetsTheStoreFinish(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &slow{memory: newMemory(), begun: cancel}
	got := deliverer(t, s).Handle(ctx, []bus.Delivery{msg("b1", "a")})
	if got[0] != bus.Done || len(s.batches) != 1 {
		t.Errorf("%v with journal %v, want Done: the insert had begun when the stop came", got, s.batches)
	}
}

// slow is a store that is stopped in the middle of an insert.
type slow struct {
	*memory
	begun func()
}

func (s *slow) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	s.begun()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return s.memory.InsertEvents(ctx, events)
}

// A crash between any two steps, then the message once more: the journal must
// say the same as without the crash.
func TestRedeliveryWritesTheSameJournal(t *testing.T) {
	deliveries := func(attempt int) []bus.Delivery {
		ds := []bus.Delivery{msg("b1", "a", "bad", "b", "a"), msg("b2", "b", "c"), msg("b3", "old")}
		for i := range ds {
			ds[i].Attempt = attempt
		}
		return ds
	}
	fresh := func() *memory {
		s := newMemory()
		deliverer(t, s).Handle(t.Context(), []bus.Delivery{msg("b0", "old")})
		return s
	}
	want := fresh()
	deliverer(t, want).Handle(t.Context(), deliveries(1))

	for _, at := range []string{"before insert", "in insert", "before letters", "after letters", "before journal", "after journal", "before ack"} {
		t.Run(at, func(t *testing.T) {
			s := fresh()
			ctx, crash := context.WithCancel(t.Context())
			deliverer(t, &crashing{memory: s, at: at, crash: crash}).Handle(ctx, deliveries(1))
			crash() // "before ack": the outcomes are lost with the process
			got := deliverer(t, s).Handle(t.Context(), deliveries(2))
			if slices.Contains(got, bus.Again) {
				t.Errorf("outcomes %v", got)
			}
			if a, b := journalOf(s), journalOf(want); !reflect.DeepEqual(a, b) {
				t.Errorf("journal\n%+v, want\n%+v", a, b)
			}
			if len(s.events) != len(want.events) || len(s.letters) != len(want.letters) {
				t.Errorf("%d events and %d letters, want %d and %d", len(s.events), len(s.letters), len(want.events), len(want.letters))
			}
		})
	}
}

func journalOf(s *memory) map[[2]string]store.Batch {
	out := map[[2]string]store.Batch{}
	for k, b := range s.batches {
		b.WrittenAt = 0
		out[k] = b
	}
	return out
}

// sourced is a message of two sources, of which the second sends an event of
// the first's project again and one that can never be stored.
func sourced() bus.Delivery {
	d := msg("b1", "a", "b", "a", "bad")
	header := event.Header{Version: event.Version, BatchID: "b1", Events: 4, Sources: []event.Source{
		{Project: "shop", Key: "k1", Hour: 23, Events: 2}, {Project: "shop", Key: "k2", Hour: 24, Events: 2},
	}}
	_, lines, _ := bytes.Cut(d.Body, newline)
	d.Body = append(event.AppendHeader(nil, header), lines...)
	return d
}

func TestEventsAreAccountedForByKeyAndHour(t *testing.T) {
	cut := sourced()
	cut.Body = cut.Body[:bytes.LastIndexByte(cut.Body[:len(cut.Body)-1], '\n')+1]
	newer := sourced()
	newer.Body, newer.Attempt = bytes.Replace(newer.Body, []byte(`"maidian":1`), []byte(`"maidian":9`), 1), newerAttempts
	k1, k2 := store.Account{Key: "k1", Hour: 23, DeadLettered: 2}, store.Account{Key: "k2", Hour: 24, DeadLettered: 2}
	for name, tt := range map[string]struct {
		delivery bus.Delivery
		want     []store.Account
		letter   store.DeadLetter
	}{
		"read":               {sourced(), []store.Account{{Key: "k1", Hour: 23, Stored: 2}, {Key: "k2", Hour: 24, Duplicates: 1, DeadLettered: 1}}, store.DeadLetter{ID: "b1/3", Key: "k2", Hour: 24}},
		"cut off":            {cut, []store.Account{k1, k2}, store.DeadLetter{ID: "b1/-1", Key: "k1", Hour: 23}},
		"of a newer version": {newer, []store.Account{k1, k2}, store.DeadLetter{ID: "b1/-1", Key: "k1", Hour: 23}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMemory()
			deliverer(t, s).Handle(t.Context(), []bus.Delivery{tt.delivery})
			if got := s.batches[[2]string{"b1", "shop"}].Accounts; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if l := s.letters[tt.letter.ID]; len(s.letters) != 1 || l.Project != "shop" || l.Key != tt.letter.Key || l.Hour != tt.letter.Hour {
				t.Errorf("got the letters %+v, want %+v", s.letters, tt.letter)
			}
		})
	}
}

func TestTalliesAreKeptAfterTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := event.Tally{Collector: "c", Project: "shop", Key: "k1", Hour: 24, Outcome: event.Accepted, Events: 7}
		body := event.AppendHeader(nil, event.Header{Version: event.Version, BatchID: "t1", Tallies: []event.Tally{counted}})
		s := newMemory()
		s.errs["tallies"] = []error{errAway, errAway}
		got := deliverer(t, s).Handle(t.Context(), []bus.Delivery{msg("b1", "a"), {Message: bus.Message{ID: "t1", Body: body}, Attempt: 1}})
		if !slices.Equal(got, []bus.Outcome{bus.Done, bus.Done}) || len(s.batches) != 1 || len(s.letters) != 0 {
			t.Errorf("got %v, %d entries, %d letters", got, len(s.batches), len(s.letters))
		}
		if len(s.tallies) != 1 || s.tallies[0].Tally != counted || s.tallies[0].WrittenAt == 0 {
			t.Errorf("got %+v, want %+v", s.tallies, counted)
		}
	})
}

// crashing is a store from which the process does not come back at one point.
type crashing struct {
	*memory
	at    string
	crash func()
}

func (c *crashing) dead(at string) error {
	if c.at == at {
		c.crash()
		return fmt.Errorf("crashed %s", at)
	}
	return nil
}

func (c *crashing) InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	if err := c.dead("before insert"); err != nil {
		return nil, err
	}
	if err := c.dead("in insert"); err != nil {
		_, _ = c.memory.InsertEvents(ctx, events[:len(events)/3])
		return nil, err
	}
	return c.memory.InsertEvents(ctx, events)
}

func (c *crashing) PutDeadLetters(ctx context.Context, letters []store.DeadLetter) error {
	if err := c.dead("before letters"); err != nil {
		return err
	}
	return errors.Join(c.memory.PutDeadLetters(ctx, letters), c.dead("after letters"))
}

func (c *crashing) RecordBatches(ctx context.Context, batches []store.Batch) error {
	if err := c.dead("before journal"); err != nil {
		return err
	}
	return errors.Join(c.memory.RecordBatches(ctx, batches), c.dead("after journal"))
}

// Whatever events of a batch are bad: all others are stored, each bad one is a
// dead letter, and finding them takes few inserts.
func TestBadEventsAreFoundByHalving(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		n, badOnes := 1+r.IntN(300), 0
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf("e%d", i)
			if r.IntN(n) < int(seed%5) {
				ids[i] = fmt.Sprintf("%s%d", []string{"bad", "panic"}[r.IntN(2)], i)
				badOnes++
			}
		}
		s := newMemory()
		d := New(s, 1000, quiet, testMetrics())
		got := d.Handle(t.Context(), []bus.Delivery{msg("b", ids...)})
		b := s.batches[[2]string{"b", "shop"}]
		if got[0] != bus.Done || len(s.events) != n-badOnes || b.Stored != n-badOnes || b.DeadLettered != badOnes || len(s.letters) != badOnes {
			t.Fatalf("seed %d: %d of %d bad: %v, %d events, %d letters, journal %+v", seed, badOnes, n, got, len(s.events), len(s.letters), b)
		}
		if most := 1 + badOnes*2*bits.Len(uint(n)); s.inserts > most {
			t.Fatalf("seed %d: %d inserts to find %d of %d, want at most %d", seed, s.inserts, badOnes, n, most)
		}
	}
}

func FuzzAnyBodyComesToItsEnd(f *testing.F) {
	f.Add(msg("b", "a", "b").Body)
	f.Add([]byte(`{"maidian":1,"batch":"b","events":1}` + "\nx\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newMemory()
		d := bus.Delivery{Message: bus.Message{Body: body}, Attempt: newerAttempts}
		got := New(s, 10, quiet, testMetrics()).Handle(t.Context(), []bus.Delivery{d})
		if got[0] == bus.Again && !strings.Contains(string(body), "odd") {
			t.Fatalf("%q goes round for ever", body)
		}
		sum := 0
		for _, b := range s.batches {
			sum += b.Stored + b.Duplicates + b.DeadLettered
		}
		if got[0] == bus.Done && sum < len(s.events)+len(s.letters) {
			t.Fatalf("%q: %d events, %d letters, journal %+v", body, len(s.events), len(s.letters), s.batches)
		}
	})
}

// What the SDK says it dropped counts where its event is new, once, however
// often the message comes, and never where the event is a duplicate.
func TestWhatTheSDKDroppedCountsWithNewEvents(t *testing.T) {
	m := newMemory()
	d := deliverer(t, m)
	says := func(id, properties string) event.Event {
		return event.Event{Project: "shop", EventID: id, EventType: "click", Timestamp: 86400_000, ReceivedAt: 86400_500, Properties: properties}
	}
	first := deliveryOf("b1", says("a", `{"$sequence":4,"$dropped":{"full":3,"expired":1}}`), says("b", `{"$dropped":[7]}`), says("c", `{"$dropped":{"full":2}}`))
	again := deliveryOf("b2", says("a", `{"$dropped":{"full":3,"expired":1}}`), says("d", `{"$dropped":{"too_large":1}}`), says("bad", `{"$dropped":{"full":9}}`))
	for _, delivery := range []bus.Delivery{first, again, first} {
		if got := d.Handle(t.Context(), []bus.Delivery{delivery}); got[0] != bus.Done {
			t.Fatalf("got %v, want the message to be done", got)
		}
	}
	for batch, want := range map[string]map[string]int{"b1": {"full": 5, "expired": 1}, "b2": {"too_large": 1}} {
		entry := m.batches[[2]string{batch, "shop"}]
		if len(entry.Accounts) != 1 || !maps.Equal(entry.Accounts[0].Dropped, want) {
			t.Errorf("%s: got the accounts %+v, want %v dropped", batch, entry.Accounts, want)
		}
	}
}
