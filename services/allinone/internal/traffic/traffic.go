// Package traffic makes up a shop's visitors: who they are, where they come
// from, what they look at, and whether they buy. The same seed gives the same
// visitors.
package traffic

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// Event is one thing a visitor does, as the collector takes it.
type Event struct {
	ID         string         `json:"event_id"`
	Type       string         `json:"event_type"`
	User       string         `json:"user_id,omitempty"`
	Anonymous  string         `json:"anonymous_id"`
	Session    string         `json:"session_id"`
	At         int64          `json:"timestamp"` // epoch milliseconds
	URL        string         `json:"page_url"`
	Title      string         `json:"page_title,omitempty"`
	Referrer   string         `json:"referrer,omitempty"`
	Agent      string         `json:"user_agent"`
	Screen     string         `json:"screen_resolution"`
	Element    string         `json:"element_id,omitempty"`
	X          int            `json:"x_position,omitempty"`
	Y          int            `json:"y_position,omitempty"`
	Scroll     int            `json:"scroll_depth,omitempty"`
	Load       float64        `json:"load_time,omitempty"`
	Properties map[string]any `json:"properties,omitempty"`
}

// JSON is the event as it is sent.
func (e *Event) JSON() []byte {
	text, err := json.Marshal(e)
	if err != nil { // strings, numbers and maps of them always have a JSON form
		panic(err)
	}
	return text
}

// Shop makes visitors up, one session after another.
type Shop struct {
	rand     *rand.Rand
	visitors []visitor
}

// visitor is somebody with a device, who comes back or does not.
type visitor struct {
	device   string
	user     string // known once they have signed in
	agent    agent
	keenness float64 // how likely each step towards buying is
}

// MeanEvents is about how many events a session has.
const MeanEvents = 7

// New opens a shop; the same seed has the same visitors doing the same things.
func New(seed uint64) *Shop {
	return &Shop{rand: rand.New(rand.NewPCG(seed, seed^0x6d616964))}
}

// visitor is somebody new, or, more often the longer the shop is open, somebody who was here before.
func (s *Shop) visitor() *visitor {
	if n := len(s.visitors); n > 0 && s.rand.Float64() < 0.55 {
		return &s.visitors[n-1-int(math.Abs(s.rand.NormFloat64())*float64(n)/4)%n] // rather those of late
	}
	s.visitors = append(s.visitors, visitor{
		device: s.id().String(), agent: pick(s.rand, agents), keenness: 0.25 + s.rand.Float64()*0.6,
	})
	return &s.visitors[len(s.visitors)-1]
}

// id is a random UUIDv4 from the shop's own chance.
func (s *Shop) id() (id uuid.UUID) {
	s.fill(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// idAt is a UUIDv7: ids that grow with time are what the store takes fastest.
func (s *Shop) idAt(at time.Time) (id uuid.UUID) {
	s.fill(id[6:])
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

func (s *Shop) fill(b []byte) {
	for i := range b {
		b[i] = byte(s.rand.Uint32())
	}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// Session is one visit that begins at a time, its events in order.
func (s *Shop) Session(start time.Time) []Event {
	v := &visit{shop: s, visitor: s.visitor(), session: s.id().String(), at: start, from: pick(s.rand, sources)}
	v.land()
	for v.goOn(0.8) {
		v.look()
		if v.goOn(v.visitor.keenness) && v.addToCart() {
			break
		}
	}
	return v.events
}

// pause is the time between a visitor's steps.
func (s *Shop) pause(mean time.Duration) time.Duration {
	return time.Duration((0.3 + s.rand.ExpFloat64()*0.7) * float64(mean))
}

// Backlog is sessions spread over the days before now, busier by day than by
// night, as many as make about n events.
func (s *Shop) Backlog(now time.Time, days, n int) []Event {
	var events []Event
	day := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
	perDay := n / days
	for d := range days {
		until := (d + 1) * perDay
		for len(events) < until {
			hour := 14 + s.rand.NormFloat64()*4.5
			start := day.AddDate(0, 0, d).Add(time.Duration(math.Mod(hour+24, 24) * float64(time.Hour)))
			events = append(events, s.Session(start)...)
		}
	}
	return events
}

// visit is a session on its way.
type visit struct {
	shop    *Shop
	visitor *visitor
	session string
	at      time.Time
	from    source
	page    page
	events  []Event
	cart    []product
}

func (v *visit) goOn(likely float64) bool {
	return v.shop.rand.Float64() < likely && len(v.events) < 60
}

// do appends an event on the current page and lets some time pass.
func (v *visit) do(kind string, mean time.Duration, fill func(*Event)) {
	e := Event{
		ID: v.shop.idAt(v.at).String(), Type: kind, User: v.visitor.user, Anonymous: v.visitor.device, Session: v.session,
		At: v.at.UnixMilli(), URL: v.page.url, Title: v.page.title, Agent: v.visitor.agent.text, Screen: v.visitor.agent.screen,
	}
	if fill != nil {
		fill(&e)
	}
	v.events = append(v.events, e)
	v.at = v.at.Add(v.shop.pause(mean))
}

func (v *visit) view(p page) {
	before := v.page.url
	v.page = p
	v.do("page_view", 12*time.Second, func(e *Event) {
		e.Referrer = before
		e.Load = math.Round(100*(0.2+v.shop.rand.ExpFloat64()*0.5)) / 100
	})
	if v.goOn(0.3) {
		v.do("scroll", 8*time.Second, func(e *Event) { e.Scroll = 25 * (1 + v.shop.rand.IntN(4)) })
	}
}

func (v *visit) land() {
	p := pick(v.shop.rand, landings)
	p.url += v.from.query
	v.page.url = v.from.referrer
	v.view(p)
	if v.goOn(0.2) {
		v.do("search", 5*time.Second, func(e *Event) {
			e.Properties = map[string]any{"query": pick(v.shop.rand, words), "results": v.shop.rand.IntN(40)}
		})
	}
}

func (v *visit) look() {
	p := pick(v.shop.rand, products)
	v.view(page{fmt.Sprintf("%s/products/%s", site, p.id), p.name})
	v.do("product_view", 15*time.Second, func(e *Event) { e.Properties = p.properties() })
	if v.goOn(v.visitor.keenness) {
		v.cart = append(v.cart, p)
	}
}

// addToCart goes as far towards buying as the visitor will; true ends the visit.
func (v *visit) addToCart() bool {
	if len(v.cart) == 0 {
		return false
	}
	last := v.cart[len(v.cart)-1]
	v.do("click", time.Second, func(e *Event) {
		e.Element, e.X, e.Y = "add-to-cart", 600+v.shop.rand.IntN(120), 420+v.shop.rand.IntN(30)
	})
	v.do("cart_add", 10*time.Second, func(e *Event) { e.Properties = last.properties() })
	if !v.goOn(v.visitor.keenness) {
		return v.shop.rand.IntN(2) == 0
	}
	v.buy()
	return true
}

func (v *visit) buy() {
	v.view(page{site + "/checkout", "Checkout"})
	if v.visitor.user == "" {
		v.visitor.user = "user-" + v.visitor.device[:8]
		v.do("sign_up", 20*time.Second, nil)
	}
	if !v.goOn(0.35 + v.visitor.keenness/2) {
		return
	}
	sum, items := 0.0, []map[string]any{}
	for _, p := range v.cart {
		sum += p.price
		items = append(items, map[string]any{"product_id": p.id, "quantity": 1, "price": p.price})
	}
	v.do("purchase", 5*time.Second, func(e *Event) {
		e.Properties = map[string]any{"order_id": "order-" + e.ID[19:], "amount": math.Round(sum*100) / 100, "currency": "EUR", "items": items}
	})
	v.view(page{site + "/thanks", "Thank you"})
}
