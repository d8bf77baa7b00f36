// Package traffic makes up events: the same plan makes the same event of the
// same number every time, so that a ledger needs to keep no more of it than a hash.
package traffic

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Plan says what is made up. It stands at the head of a ledger.
type Plan struct {
	Seed     uint64   `json:"seed"`
	Projects []string `json:"projects"`
	Users    int      `json:"users"`
	Days     int      `json:"days"`    // over how many days before Now events are spread
	Now      int64    `json:"now"`     // epoch milliseconds
	Invalid  float64  `json:"invalid"` // share of events that every collector must refuse
	Pills    float64  `json:"pills"`   // share of events that a build under test is made to choke on, always
}

// Kind is what must become of an event.
type Kind string

const (
	Good    Kind = "good"
	Invalid Kind = "invalid" // refused, never stored
	Pill    Kind = "pill"    // accepted, never stored, a dead letter
)

// PillType is the event_type of a pill.
const PillType = "poison_pill"

// Agent is the user agent of every request; events that bring none are stored with it.
const Agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"

// Event is one made-up event.
type Event struct {
	ID   string
	Kind Kind
	Sent []byte         // as the client sends it
	Want map[string]any // as it must be stored, what the server adds left out
}

// Hash is of an event as it must be stored.
func (e *Event) Hash() string { return Hash(e.Want) }

// Hash is of an object in which neither the order of keys nor the way of
// escaping matters, but every digit of a number does.
func Hash(object map[string]any) string {
	text, err := json.Marshal(object) // sorts the keys
	if err != nil {
		panic(fmt.Sprintf("an object that came from JSON is none: %v", err))
	}
	return HashText(text)
}

// HashText is of bytes as they are.
func HashText(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// Decode reads an object and keeps its numbers' digits.
func Decode(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var object map[string]any
	err := d.Decode(&object)
	return object, err
}

// Random is the source of everything about one thing of a plan.
func (p *Plan) Random(what string, number int) *rand.Rand {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s %d", p.Seed, what, number))
	return rand.New(rand.NewChaCha8(h))
}

// Event is a project's k-th. Projects share ids on purpose: the same id in
// two projects is two events.
func (p *Plan) Event(project string, k int) Event {
	r := p.Random(project, k)
	e := Event{ID: fmt.Sprintf("c%x-%08d", p.Seed, k), Kind: Good}
	sent := map[string]any{"event_id": e.ID}
	p.who(r, sent)
	p.when(r, sent)
	p.what(r, sent)
	switch share := r.Float64(); {
	case share < p.Invalid:
		e.Kind = Invalid
		spoil(r, sent)
	case share < p.Invalid+p.Pills:
		e.Kind = Pill
		sent["event_type"] = PillType
	}
	var err error
	if e.Sent, err = json.Marshal(sent); err == nil {
		e.Want, err = Decode(e.Sent)
	}
	if err != nil {
		panic(fmt.Sprintf("event %d of %s is no JSON: %v", k, project, err))
	}
	asStored(e.Want)
	return e
}

// who: a third of the people are known, a third become known, a third never do.
func (p *Plan) who(r *rand.Rand, e map[string]any) {
	n := r.IntN(p.Users)
	device, user := fmt.Sprintf("device-%d", n), fmt.Sprintf("user-%d", n)
	switch {
	case n%3 == 0 && n%2 == 0:
		e["user_id"] = json.Number(strconv.Itoa(1_000_000 + n))
	case n%3 == 0:
		e["user_id"] = user
	case n%3 == 1 && r.IntN(2) == 0:
		e["user_id"], e["anonymous_id"] = user, device
	default:
		e["anonymous_id"] = device
	}
	if r.IntN(4) > 0 {
		e["session_id"] = fmt.Sprintf("session-%d-%d", n, r.IntN(5))
	}
}

func (p *Plan) when(r *rand.Rand, e map[string]any) {
	at := p.Now - r.Int64N(int64(p.Days)*24*60*60*1000)
	switch r.IntN(8) {
	case 0: // none: it happens when it is received
	case 1:
		e["timestamp"] = time.UnixMilli(at).UTC().Format(time.RFC3339Nano)
	default:
		e["timestamp"] = at
	}
}

func (p *Plan) what(r *rand.Rand, e map[string]any) {
	switch r.IntN(10) {
	default:
		e["event_type"], e["page_title"] = "page_view", "Seite «"+strconv.Itoa(r.IntN(9))+"»"
		e["load_time"] = digits(r)
	case 5, 6:
		e["event_type"] = "product_view"
		e["properties"] = map[string]any{"product_id": fmt.Sprintf("p%d", r.IntN(50)), "price": digits(r)}
	case 7:
		e["event_type"] = "purchase"
		e["properties"] = map[string]any{
			"order_id": fmt.Sprintf("o%d", r.Uint32()), "amount": digits(r), "currency": "EUR",
			"items": []any{map[string]any{"product_id": "p1", "quantity": 2, "price": digits(r)}},
		}
	case 8:
		e["event_type"], e["event_name"] = "click", "buy now"
		e["element_id"], e["x_position"], e["y_position"] = "#buy", digits(r), r.IntN(2000)
		e["user_agent"] = "an app of our own/1.0"
	case 9:
		e["event_type"] = "自定义 event"
		e["properties"] = oddities(r)
	}
	e["page_url"] = fmt.Sprintf("https://shop.example/%d?utm_source=news&q=%d#top", r.IntN(20), r.IntN(100))
}

// digits is a number whose very digits must come back.
func digits(r *rand.Rand) json.Number {
	switch r.IntN(4) {
	case 0:
		return json.Number(strconv.Itoa(r.IntN(1000)))
	case 1:
		return json.Number(fmt.Sprintf("%d.50", r.IntN(1000)))
	case 2:
		return json.Number(fmt.Sprintf("%d.123456789012345678901", r.IntN(9)))
	}
	return json.Number(fmt.Sprintf("%d.%02d", r.IntN(100), r.IntN(100)))
}

// oddities are properties that storages like to change.
func oddities(r *rand.Rand) map[string]any {
	return map[string]any{
		"$set": map[string]any{"a.b": r.IntN(100), "": "empty", "%24": true},
		"_id":  r.IntN(10), "nil": nil, "text": "tab\t quote\" \u2028 <b>&", "emoji": "🙂",
		"lists": []any{[]any{1, []any{}}, "x", map[string]any{}},
		"big":   json.Number("12345678901234567890123"), "small": json.Number("1e-7"), "minus": json.Number("-0"),
	}
}

// spoil makes an event one that must be refused.
func spoil(r *rand.Rand, e map[string]any) {
	switch r.IntN(6) {
	case 0:
		delete(e, "event_type")
	case 1:
		e["duration"] = -1
	case 2:
		e["scroll_depth"] = 101
	case 3:
		e["user_id"] = map[string]any{"id": 1}
	case 4:
		e["event_type"], e["properties"] = "product_view", map[string]any{"price": 1}
	case 5:
		e["properties"] = []any{1, 2}
	}
}

// asStored applies what the public face says about an event's own fields:
// a name that is missing is the type, an integer user is its decimal text,
// the time as sent is kept in client_timestamp, a missing user agent is the request's.
func asStored(e map[string]any) {
	if _, ok := e["event_name"]; !ok {
		e["event_name"] = e["event_type"]
	}
	if n, ok := e["user_id"].(json.Number); ok {
		e["user_id"] = n.String()
	}
	if _, ok := e["user_agent"]; !ok {
		e["user_agent"] = Agent
	}
	switch at := e["timestamp"].(type) {
	case json.Number:
		e["client_timestamp"] = at
	case string:
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			panic(err)
		}
		e["client_timestamp"] = json.Number(strconv.FormatInt(t.UnixMilli(), 10))
	}
	delete(e, "timestamp")
}
