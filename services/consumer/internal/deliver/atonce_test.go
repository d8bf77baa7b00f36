package deliver

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// together is a memory that takes events and their journal at once. As a real
// one may, it asks for the entries more than once.
type together struct {
	*memory
	taken int // calls that succeeded
}

func (m *together) InsertAndRecord(ctx context.Context, events []event.Event, entries func([]store.Outcome) []store.Batch) ([]store.Outcome, error) {
	if err := m.fail("together"); err != nil {
		return nil, err
	}
	entries(make([]store.Outcome, len(events)))
	outcomes, err := m.InsertEvents(ctx, events)
	if err != nil {
		return nil, err
	}
	m.taken++
	return outcomes, m.RecordBatches(ctx, entries(outcomes))
}

// Whether a store takes events and journal at once, or fails to, makes no
// difference to what is in it.
func TestAtOnceOrStepByStepIsTheSame(t *testing.T) {
	cut := msg("b4", "x", "y")
	cut.Body = cut.Body[:len(cut.Body)-3]
	newer := bus.Delivery{Message: bus.Message{ID: "b5", Body: event.AppendHeader(nil, event.Header{Version: event.Version + 1, BatchID: "b5"})}, Attempt: 1}
	for name, c := range map[string]struct {
		group  []bus.Delivery
		fails  error // of the first call
		atOnce int   // calls that do it at once
	}{
		"new events":                   {group: []bus.Delivery{msg("b1", "a", "b"), msg("b2", "c")}, atOnce: 1},
		"duplicates and copies":        {group: []bus.Delivery{msg("b1", "a", "old", "a"), msg("b0", "old"), msg("b1", "a", "old", "a")}, atOnce: 1},
		"a message for later":          {group: []bus.Delivery{newer, msg("b1", "a")}, atOnce: 1},
		"the store fails once":         {group: []bus.Delivery{msg("b1", "a", "b")}, fails: errors.New("busy")},
		"an event that cannot be kept": {group: []bus.Delivery{msg("b1", "a", "bad"), msg("b2", "c")}},
		"an event that panics":         {group: []bus.Delivery{msg("b1", "a", "panic"), msg("b2", "c")}},
		"an event that lacks its name": {group: []bus.Delivery{msg("b1", "a", ""), msg("b2", "c")}},
		"a line that cannot be read":   {group: []bus.Delivery{cut, msg("b2", "c")}},
		"two sources":                  {group: []bus.Delivery{sourced()}},
	} {
		t.Run(name, func(t *testing.T) {
			steps, atOnce := newMemory(), &together{memory: newMemory()}
			var outcomes [2][]bus.Outcome
			for i, s := range []Store{steps, atOnce} {
				deliverer(t, s).Handle(t.Context(), []bus.Delivery{msg("b0", "old")})
				atOnce.taken = 0
				if c.fails != nil {
					atOnce.errs["together"] = []error{c.fails}
				}
				outcomes[i] = deliverer(t, s).Handle(t.Context(), c.group)
			}
			if !slices.Equal(outcomes[0], outcomes[1]) {
				t.Errorf("at once %v, step by step %v", outcomes[1], outcomes[0])
			}
			if a, b := journalOf(atOnce.memory), journalOf(steps); !reflect.DeepEqual(a, b) {
				t.Errorf("journal at once\n%+v, step by step\n%+v", a, b)
			}
			if len(atOnce.events) != len(steps.events) || len(atOnce.letters) != len(steps.letters) {
				t.Errorf("at once %d events and %d letters, step by step %d and %d", len(atOnce.events), len(atOnce.letters), len(steps.events), len(steps.letters))
			}
			if atOnce.taken != c.atOnce {
				t.Errorf("%d groups were taken at once, want %d", atOnce.taken, c.atOnce)
			}
		})
	}
}

func TestStopEndsWhatWasToBeDoneAtOnce(t *testing.T) {
	s := &together{memory: newMemory()}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.errs["together"] = []error{context.Canceled}
	if got := deliverer(t, s).Handle(ctx, []bus.Delivery{msg("b1", "a")}); got[0] != bus.Again || s.inserts != 0 {
		t.Errorf("outcome %v after %d inserts, want Again and no further try", got, s.inserts)
	}
}
