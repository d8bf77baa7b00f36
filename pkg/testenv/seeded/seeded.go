// Package seeded makes a set of events that looks like a shop's, from a fixed
// seed: asked for the same size it is the same set on every run, so that known
// answers and figures of different systems can stand side by side.
//
// Users differ in diligence (log-normally), events, pages and countries in
// popularity (Zipf), days have a noon and an evening, and whoever views a
// product goes on to the cart, the checkout and the purchase more often than
// by chance.
package seeded

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/maidian/maidian/pkg/event"
)

// The set that figures are given for.
const (
	Events = 10_000_000
	Users  = 200_000
	Days   = 90
)

// Start is the first moment of a set: 2026-06-01T00:00:00Z.
const Start event.Time = 1780272000000

// Day is the length of one.
const Day event.Time = 24 * 60 * 60 * 1000

var (
	types = []string{
		"page_view", "view_product", "click", "search", "scroll", "add_to_cart", "app_open", "begin_checkout", "share", "purchase", "signup", "favorite",
	}
	countries = []string{
		"CN", "US", "IN", "DE", "JP", "BR", "GB", "FR", "RU", "KR", "ID", "MX", "TR", "IT", "ES", "CA", "VN", "TH", "PL", "NL", "AU", "MY", "SG", "SE", "AR", "PH", "EG", "ZA", "AE", "CH",
	}
	platforms = []string{"web", "ios", "android", "miniapp"}
)

const (
	pages = 500

	viewProduct, addToCart, beginCheckout, purchase = 1, 5, 7, 9 // places in types
)

// Row is one event of a set.
type Row struct {
	Timestamp event.Time
	Amount    float64 // of a purchase, two decimals; else 0
	user      uint32
	session   uint32
	page      uint16
	kind      uint8
	country   uint8
	platform  uint8
}

// User is a number without order or gaps that tell anything.
func (r *Row) User() uint64 { return mixed(uint64(r.user) + 1) }

// Session is such a number too, and never a user's.
func (r *Row) Session() uint64 { return mixed(uint64(r.session) + 1<<40) }

// Type is what happened.
func (r *Row) Type() string { return types[r.kind] }

// Page is the path of the page on which it happened.
func (r *Row) Page() string { return fmt.Sprintf("/p/%03d/section", r.page) }

// Country is the user's, two letters.
func (r *Row) Country() string { return countries[r.country] }

// Platform is the user's: web, ios, android or miniapp.
func (r *Row) Platform() string { return platforms[r.platform] }

// Event is the row as an event that lacks a project, an id and a batch. Users
// and sessions are called by 16 hexadecimal digits; the platform and the amount
// are properties.
func (r *Row) Event() event.Event {
	properties := `{"platform":"` + r.Platform() + `"}`
	if r.Amount != 0 {
		properties = `{"platform":"` + r.Platform() + `","amount":` + strconv.FormatFloat(r.Amount, 'f', -1, 64) + `}`
	}
	return event.Event{
		EventType: r.Type(), EventName: r.Type(), UserID: Name(r.User()), SessionID: Name(r.Session()), Timestamp: r.Timestamp,
		PageURL: "https://shop.example" + r.Page(), PageHost: "shop.example", PagePath: r.Page(), Country: r.Country(), Properties: properties,
	}
}

// Name is how a user's or session's number is written: 16 hexadecimal digits.
func Name(number uint64) string { return fmt.Sprintf("%016x", number) }

// mixed is MurmurHash3's last step, one to one.
func mixed(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Rows is the set of so many events of at most so many users on so many days,
// in the order of time. It needs 32 bytes of memory an event.
func Rows(events, users, days int) iter.Seq[*Row] {
	return func(yield func(*Row) bool) {
		rows := newGenerator(events, users, days).rows()
		for i := range rows {
			if !yield(&rows[i]) {
				return
			}
		}
	}
}

// generator draws from one source of chance; the order of its draws is what
// makes the set, so no line of it can move.
type generator struct {
	*rand.Rand
	events, days        int
	end                 event.Time
	sessions            uint32
	kind, page, country func() int
	made                []Row
	diligence           []float64 // sessions beyond the first to be expected, by user
}

const perSession = 8.0 // events, about

func newGenerator(events, users, days int) *generator {
	g := &generator{
		Rand: rand.New(rand.NewPCG(42, 4242)), events: events, days: days, end: Start + event.Time(days)*Day,
		made: make([]Row, 0, events+events/16), diligence: make([]float64, users),
	}
	g.kind, g.page, g.country = g.zipf(len(types), 1.1), g.zipf(pages, 1), g.zipf(len(countries), 1)
	sum := 0.0
	for u := range g.diligence {
		g.diligence[u] = math.Exp(1.2 * g.NormFloat64())
		sum += g.diligence[u]
	}
	expected := float64(events)/perSession*1.03 - float64(users)
	for u := range g.diligence {
		g.diligence[u] = expected * g.diligence[u] / sum
	}
	return g
}

// zipf picks 0 … n-1, number k in proportion to 1/(k+1)^s.
func (g *generator) zipf(n int, s float64) func() int {
	sums := make([]float64, n)
	total := 0.0
	for k := range sums {
		total += 1 / math.Pow(float64(k+1), s)
		sums[k] = total
	}
	return func() int {
		k, _ := slices.BinarySearch(sums, g.Float64()*total)
		return k
	}
}

func (g *generator) rows() []Row {
	for _, user := range g.Perm(len(g.diligence)) {
		g.life(user)
	}
	if len(g.made) > g.events { // a few more than asked for: any of them go
		g.Shuffle(len(g.made), func(i, j int) { g.made[i], g.made[j] = g.made[j], g.made[i] })
		g.made = g.made[:g.events]
	}
	slices.SortFunc(g.made, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.user, b.user), cmp.Compare(a.session, b.session))
	})
	return g.made
}

// life is all that one user does: a first day, for three of ten the set's
// first, and more sessions after it, most of them soon.
func (g *generator) life(user int) {
	first := 0.0
	if g.Float64() > 0.3 {
		first = g.Float64() * float64(g.days-1)
	}
	who := Row{user: uint32(user), country: uint8(g.country())}
	who.platform = [...]uint8{0, 0, 0, 0, 1, 1, 2, 2, 2, 3}[g.IntN(10)]
	day := first
	for more := g.poisson(g.diligence[user]); more >= 0; more-- {
		who.Timestamp = Start + event.Time(math.Floor(day))*Day + g.timeOfDay()
		g.session(who)
		if more > 0 {
			day = first + (float64(g.days)-first)*math.Pow(g.Float64(), 1.7)
		}
	}
}

// poisson is a number with the mean l.
func (g *generator) poisson(l float64) int {
	if l > 30 {
		return int(math.Max(0, math.Round(l+math.Sqrt(l)*g.NormFloat64())))
	}
	for n, p := 0, g.Float64(); ; n++ {
		if p < math.Exp(-l) {
			return n
		}
		p *= g.Float64()
	}
}

// timeOfDay is around noon or, more often, in the evening.
func (g *generator) timeOfDay() event.Time {
	hour := 12 + 3*g.NormFloat64()
	if g.Float64() < 0.6 {
		hour = 20 + 2.2*g.NormFloat64()
	}
	return event.Time(math.Mod(hour+48, 24) * 3600_000)
}

// session makes about eight events, some seconds apart, none after the set's end.
func (g *generator) session(next Row) {
	g.sessions++
	next.session = g.sessions
	previous := -1
	for n := min(1+int(g.ExpFloat64()*perSession*0.97), 200); n > 0; n-- {
		previous = g.onwards(previous, g.kind())
		next.kind, next.page, next.Amount = uint8(previous), uint16(g.page()), 0
		if previous == purchase {
			next.Amount = math.Round(math.Exp(4+g.NormFloat64())*100) / 100
		}
		if next.Timestamp < g.end {
			g.made = append(g.made, next)
		}
		next.Timestamp += event.Time(1000 + g.ExpFloat64()*25000)
	}
}

// onwards is what follows previous: what follows from it, or else whatever was drawn.
func (g *generator) onwards(previous, drawn int) int {
	x := g.Float64()
	switch {
	case previous == viewProduct && x < 0.22:
		return addToCart
	case previous == addToCart && x < 0.40:
		return beginCheckout
	case previous == beginCheckout && x < 0.55:
		return purchase
	}
	return drawn
}
