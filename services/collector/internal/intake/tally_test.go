package intake

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// tallies are the largest numbers that were published, by key and outcome.
func (b *broker) tallies(t *testing.T) map[string]int {
	t.Helper()
	largest := map[string]int{}
	for _, m := range b.messages {
		h, _, _, err := event.DecodeMessage(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, y := range h.Tallies {
			name := y.Key + " " + y.Outcome
			largest[name] = max(largest[name], y.Events)
		}
	}
	return largest
}

func TestATallyMakesUpForWhatCouldNotBePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{refuse: func(n int) error {
			if n == 2 {
				return errors.New("away")
			}
			return nil
		}}
		y := newTally(b)
		from := event.Source{Project: "shop", Key: "k1", Hour: event.TimeOf(time.Now()).Hour()}
		expect := func(failing bool, messages int, want map[string]int) {
			t.Helper()
			if err := y.tell(t.Context()); (err != nil) != failing {
				t.Fatal(err)
			}
			if got := b.tallies(t); len(b.messages) != messages || !maps.Equal(got, want) {
				t.Errorf("%d messages say %v, want %d and %v", len(b.messages), got, messages, want)
			}
		}
		y.add(from, event.Accepted, 3)
		expect(false, 1, map[string]int{"k1 accepted": 3})
		expect(false, 1, map[string]int{"k1 accepted": 3}) // nothing new, nothing said
		y.add(from, event.Accepted, 2)
		y.add(from, "invalid_field", 1)
		expect(true, 1, map[string]int{"k1 accepted": 3})
		expect(false, 2, map[string]int{"k1 accepted": 5, "k1 invalid_field": 1})
		time.Sleep(3 * time.Hour) // of the test's own clock
		expect(false, 2, map[string]int{"k1 accepted": 5, "k1 invalid_field": 1})
		if len(y.counts) > 0 {
			t.Errorf("%d counts of hours that are over are kept", len(y.counts))
		}
	})
}

func TestAMessageNamesTheSourcesOfItsEvents(t *testing.T) {
	const requests = 40
	synctest.Test(t, func(t *testing.T) {
		b := &broker{latency: func() time.Duration { return time.Second }}
		c := coalescer(b, func(l *Limits) { l.Eager, l.Bytes = 1, 20_000 })
		for i := range requests {
			go func() {
				l := linesOf(fmt.Sprint("r", i), 2, 100)
				from := event.Source{Project: "p", Key: fmt.Sprint("k", i%7), Hour: 490896}
				if err := c.Publish(t.Context(), from, l.bytes, l.ends); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(b.stored(t, Limits{Events: 500, Bytes: 20_000})); got != 2*requests {
			t.Errorf("%d events, want %d", got, 2*requests)
		}
		for _, m := range b.messages {
			h, events, _, _ := event.DecodeMessage(m.Body)
			for _, e := range events {
				var request int
				_, _ = fmt.Sscanf(e.EventID, "r%d-", &request)
				if from := h.SourceOf(e.Position); from.Key != fmt.Sprint("k", request%7) {
					t.Errorf("%s is said to come from %+v", e.EventID, from)
				}
			}
		}
	})
}
