package verdict

import (
	"encoding/json"
	"fmt"
	"reflect"

	"maidian-check/internal/ledger"
	"maidian-check/internal/stored"
	"maidian-check/internal/traffic"
)

// added are the fields that the server adds, and that say nothing about what was sent.
var added = []string{
	"project", "received_at", "stored_at", "timestamp", "ip_address", "country", "region", "city",
	"browser", "browser_version", "os", "os_version", "device_type", "is_bot", "page_host", "page_path",
	"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "channel", "sdk",
}

// compare says in which fields a stored event is not as it was sent.
func (c *court) compare(f *fact, e *stored.Event) (differences []string) {
	if why := c.moment(f, e); why != "" {
		differences = append(differences, why)
	}
	if project, _ := e.Fields["project"].(string); project != e.Project {
		differences = append(differences, fmt.Sprintf("project is %q", project))
	}
	left := make(map[string]any, len(e.Fields))
	for name, value := range e.Fields {
		left[name] = value
	}
	for _, name := range added {
		delete(left, name)
	}
	if traffic.Hash(left) != f.Hash {
		differences = append(differences, c.explain(f, left)...)
	}
	return differences
}

// explain makes the event up again to say which field it is.
func (c *court) explain(f *fact, got map[string]any) (differences []string) {
	again := c.book.Plan.Event(f.project, f.K)
	if again.Hash() != f.Hash {
		return []string{"it has not the hash in the ledger, and the plan makes another event of it"}
	}
	want := again.Want
	for name := range union(got, want) {
		if g, w := got[name], want[name]; !reflect.DeepEqual(g, w) {
			differences = append(differences, fmt.Sprintf("%s is %.200s, sent was %.200s", name, text(g), text(w)))
		}
	}
	return differences
}

func union(a, b map[string]any) map[string]bool {
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	return names
}

func text(v any) string {
	t, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(t)
}

const (
	tolerance = 60 * 1000           // of a device's clock
	horizon   = 24 * 60 * 60 * 1000 // how far ahead of the server a time is believed
	slack     = 2 * 1000            // between the clocks of the server and ours, which are one
)

// moment: the stored time must be what the rules make of the client's, for
// one of the attempts that may have brought the event.
func (c *court) moment(f *fact, e *stored.Event) string {
	received, got := millis(e.Fields["received_at"]), millis(e.Fields["timestamp"])
	sent, given := e.Fields["client_timestamp"]
	why := fmt.Sprintf("received_at %d is in none of its attempts", received)
	for _, at := range f.batches {
		direct := c.book.Batches[at].ID < 0 // put on the queue as it is, past the collector
		for i := range c.book.Tries[at] {
			t := &c.book.Tries[at][i]
			if received < t.Try.At-slack || t.Done != nil && t.Status != 0 && received > t.Done.At+slack {
				continue
			}
			want := received
			if given {
				want = corrected(millis(sent), received, t, direct)
			}
			if got == want {
				return ""
			}
			why = fmt.Sprintf("timestamp is %d, want %d for received_at %d and sent_at %d", got, want, received, t.SentAt)
		}
	}
	return why
}

func corrected(at, received int64, t *ledger.Attempt, direct bool) int64 {
	if direct {
		return at
	}
	if skew := received - t.SentAt; t.SentAt != 0 && (skew > tolerance || skew < -tolerance) {
		at += skew
	}
	if at > received+horizon {
		return received
	}
	return at
}
