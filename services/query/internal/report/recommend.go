package report

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// RecommendRequest asks which products go with a product, or suit a user.
type RecommendRequest struct {
	Common
	ProductID string `json:"product_id,omitempty"`
	UserID    string `json:"user_id,omitempty"`
	Limit     int    `json:"limit"`
}

// RecommendAnswer is products, best first, each with its reason.
type RecommendAnswer struct {
	BasedOn         string           `json:"based_on"` // product, user, or popularity where those say nothing
	Recommendations []Recommendation `json:"recommendations"`
	Definition      definition       `json:"definition"`
}

// Recommendation is one product.
type Recommendation struct {
	ProductID string   `json:"product_id"`
	Score     float64  `json:"score"`
	Users     int      `json:"users"`   // who had to do with both; by popularity, with this one
	Support   float64  `json:"support"` // those users, as a part of all users of products
	Lift      *float64 `json:"lift"`    // how much more often than by chance; null by popularity
	Because   *string  `json:"because"` // the product it goes with best; null by popularity
	Why       string   `json:"why"`
}

const (
	recommendDays = 90  // the range when none is given
	maxBasket     = 200 // products of one user that count: who has more is no shopper
)

// ReadRecommend reads the request.
func ReadRecommend(p *Params, env Env) (RecommendRequest, error) {
	open := !p.Has("from") && !p.Has("days")
	r := RecommendRequest{
		Common:    p.Common(env),
		ProductID: p.String("product_id", ""),
		UserID:    p.String("user_id", ""),
		Limit:     p.Int("limit", 10, 1, 1000),
	}
	if open {
		r.From = r.Calendar.Back(calendar.Day, r.Calendar.Floor(calendar.Day, r.To), recommendDays-1)
	}
	if r.ProductID != "" && r.UserID != "" {
		p.Fail("user_id", "goes without product_id: give one of them")
	}
	return r, p.Done()
}

// Recommend finds products that the same users viewed, put into the cart or bought.
func Recommend(ctx context.Context, v *columns.View, r RecommendRequest) (*RecommendAnswer, error) {
	s, err := r.shelves(ctx, v)
	if err != nil {
		return nil, err
	}
	answer := &RecommendAnswer{BasedOn: "popularity", Recommendations: []Recommendation{}, Definition: r.defined(definition{
		"products": "product_id of product_view, cart_add and purchase events, and of a purchase's items",
		"users":    "distinct " + r.Unit.words() + fmt.Sprintf("; who has to do with more than %d products is left out", maxBasket),
		"score":    "users of both / √(users of one × users of the other), summed over the user's products; by popularity: the part of users",
		"lift":     "users of both × all users / (users of one × users of the other)",
	})}
	seeds, err := r.seeds(ctx, v, s)
	if err != nil {
		return nil, err
	}
	found, err := s.together(ctx, seeds, r.Limits.Cells)
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		answer.Recommendations, answer.BasedOn = found, "user"
		if r.ProductID != "" {
			answer.BasedOn = "product"
		}
	} else {
		answer.Recommendations = s.popular(seeds)
	}
	answer.Recommendations = first(answer.Recommendations, r.Limit)
	return answer, ctx.Err()
}

// shelves are the products that users had to do with.
type shelves struct {
	names   []string
	byName  map[string]uint32
	pairs   []uint64 // user and product, each pair once, in that order
	baskets [][]uint64
	users   []int // by product
}

func (r *RecommendRequest) shelves(ctx context.Context, v *columns.View) (*shelves, error) {
	events, err := r.open(ctx, v, columns.Needs{Columns: []string{"product_id", "items"}})
	if err != nil {
		return nil, err
	}
	s := &shelves{byName: map[string]uint32{}}
	single, several := s.of(events.values("product_id"), productOf), s.of(events.values("items"), productsIn)
	for i, d := range events.days {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		keep, who := events.passing(i), events.units(i)
		ids, items := &events.column(i, "product_id").Codes, &events.column(i, "items").Codes
		for _, run := range d.Runs() {
			if run.Type != "product_view" && run.Type != "cart_add" && run.Type != purchase {
				continue
			}
			for row := run.Lo; row < run.Hi; row++ {
				if row%(1<<16) == 0 && ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if user, ok := who.of(row); ok && keep.has(row) {
					s.add(user, single[ids.At(row)])
					s.add(user, several[items.At(row)])
				}
			}
			if err := s.bound(ctx, r.Limits.Pairs); err != nil {
				return nil, err
			}
		}
	}
	if err := s.sort(ctx); err != nil {
		return nil, err
	}
	s.count()
	return s, nil
}

// of numbers the products of each value of a column.
func (s *shelves) of(values []event.Value, products func(event.Value) []string) [][]uint32 {
	byCode := make([][]uint32, len(values))
	for code, v := range values {
		for _, name := range products(v) {
			byCode[code] = append(byCode[code], s.number(name))
		}
	}
	return byCode
}

func productOf(v event.Value) []string {
	if v.Kind != event.String && v.Kind != event.Numeric {
		return nil
	}
	return []string{ask.Text(v)}
}

// productsIn are the products of a purchase's items.
func productsIn(v event.Value) (products []string) {
	if v.Kind != event.Compound {
		return nil
	}
	decoded, _ := ask.Decode(v.Text)
	items, _ := decoded.([]any)
	for _, item := range items {
		object, _ := item.(map[string]any)
		switch id := object["product_id"].(type) {
		case string:
			products = append(products, id)
		case fmt.Stringer: // a number, as it was sent
			products = append(products, id.String())
		}
	}
	return products
}

func (s *shelves) number(name string) uint32 {
	n, known := s.byName[name]
	if !known {
		n = uint32(len(s.names))
		s.byName[name] = n
		s.names = append(s.names, name)
	}
	return n
}

func (s *shelves) add(user uint32, products []uint32) {
	for _, p := range products {
		s.pairs = append(s.pairs, uint64(user)<<32|uint64(p))
	}
}

// bound ends the query when users had to do with more products than may be kept.
func (s *shelves) bound(ctx context.Context, limit int) error {
	if len(s.pairs) <= limit {
		return nil
	}
	if err := s.sort(ctx); err != nil {
		return err
	}
	if len(s.pairs) > limit/2 { // else sorting would soon come again
		return exceeded("too_many_pairs", "users had to do with more than %d products in all; shorten the range or filter", limit/2)
	}
	return nil
}

// sort brings the pairs into order, each once: first by parts of the users, so
// that a query that is cancelled ends soon.
func (s *shelves) sort(ctx context.Context) error {
	const parts = 256
	most := uint64(0)
	for _, p := range s.pairs {
		most = max(most, p>>32)
	}
	var starts [parts + 1]int
	part := func(p uint64) int { return int(p >> 32 * parts / (most + 1)) }
	for _, p := range s.pairs {
		starts[part(p)+1]++
	}
	for i := range parts {
		starts[i+1] += starts[i]
	}
	sorted, next := make([]uint64, len(s.pairs)), starts
	for _, p := range s.pairs {
		sorted[next[part(p)]] = p
		next[part(p)]++
	}
	for i := range parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		slices.Sort(sorted[starts[i]:starts[i+1]])
	}
	s.pairs = slices.Compact(sorted)
	return nil
}

// count cuts the pairs into the baskets of users and counts the users of products.
func (s *shelves) count() {
	s.users = make([]int, len(s.names))
	for lo := 0; lo < len(s.pairs); {
		hi := lo + 1
		for hi < len(s.pairs) && s.pairs[hi]>>32 == s.pairs[lo]>>32 {
			hi++
		}
		if hi-lo <= maxBasket {
			s.baskets = append(s.baskets, s.pairs[lo:hi])
			for _, p := range s.pairs[lo:hi] {
				s.users[uint32(p)]++
			}
		}
		lo = hi
	}
}

// seeds are the products to start from: the one asked about, or the user's own.
func (r *RecommendRequest) seeds(ctx context.Context, v *columns.View, s *shelves) (seeds []uint32, err error) {
	if r.ProductID != "" {
		if n, known := s.byName[r.ProductID]; known {
			seeds = []uint32{n}
		}
		return seeds, nil
	}
	user, known := v.UserNumber(r.UserID)
	if r.UserID == "" || !known {
		return nil, nil
	}
	byUser := s
	if r.Unit.Kind != UserUnit { // the user's own products are the user's, whoever is counted
		own := *r
		own.Unit = Unit{}
		if byUser, err = own.shelves(ctx, v); err != nil {
			return nil, err
		}
	}
	for _, p := range byUser.basketOf(user) {
		if n, known := s.byName[byUser.names[p]]; known {
			seeds = append(seeds, n)
		}
	}
	return seeds, nil
}

// basketOf is the products of a user.
func (s *shelves) basketOf(user uint32) (products []uint32) {
	for _, basket := range s.baskets {
		if uint32(basket[0]>>32) == user {
			for _, p := range basket {
				products = append(products, uint32(p))
			}
		}
	}
	return products
}

// together are the products that users of the seeds also had to do with, best first.
func (s *shelves) together(ctx context.Context, seeds []uint32, limit int) ([]Recommendation, error) {
	seed := make(map[uint32]bool, len(seeds))
	for _, p := range seeds {
		seed[p] = true
	}
	both := map[[2]uint32]int{} // seed and other: users
	for i, basket := range s.baskets {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if len(both) > limit {
			return nil, exceeded("too_many_cells", "the user's products go with more than %d others; shorten the range, filter, or ask for one product", limit)
		}
		for _, a := range basket {
			if !seed[uint32(a)] {
				continue
			}
			for _, b := range basket {
				if !seed[uint32(b)] {
					both[[2]uint32{uint32(a), uint32(b)}]++
				}
			}
		}
	}
	return s.rank(both), ctx.Err()
}

func (s *shelves) rank(both map[[2]uint32]int) []Recommendation {
	type best struct {
		score, closest float64
		seed           uint32
	}
	of := map[uint32]best{}
	for pair, n := range both {
		score := float64(n) / math.Sqrt(float64(s.users[pair[0]])*float64(s.users[pair[1]]))
		b := of[pair[1]]
		b.score += score
		if score > b.closest || (score == b.closest && s.names[pair[0]] < s.names[b.seed]) {
			b.closest, b.seed = score, pair[0]
		}
		of[pair[1]] = b
	}
	list := make([]Recommendation, 0, len(of))
	for p, b := range of {
		n := both[[2]uint32{b.seed, p}]
		lift := round(float64(n) * float64(len(s.baskets)) / (float64(s.users[b.seed]) * float64(s.users[p])))
		list = append(list, Recommendation{
			ProductID: s.names[p], Score: round(b.score), Users: n, Support: round(float64(n) / float64(len(s.baskets))), Lift: &lift, Because: &s.names[b.seed],
			Why: fmt.Sprintf("%d of the %d users of %s had to do with it too, %.1f times as many as by chance", n, s.users[b.seed], s.names[b.seed], lift),
		})
	}
	slices.SortFunc(list, compareRecommended)
	return list
}

// popular are the products with most users, but for those left out.
func (s *shelves) popular(but []uint32) []Recommendation {
	list := []Recommendation{}
	for p, n := range s.users {
		if n == 0 || slices.Contains(but, uint32(p)) {
			continue
		}
		part := round(float64(n) / float64(len(s.baskets)))
		list = append(list, Recommendation{
			ProductID: s.names[p], Score: part, Users: n, Support: part,
			Why: fmt.Sprintf("popular: %d of %d users had to do with it", n, len(s.baskets)),
		})
	}
	slices.SortFunc(list, compareRecommended)
	return list
}

func compareRecommended(a, b Recommendation) int {
	return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.Users, a.Users), cmp.Compare(a.ProductID, b.ProductID))
}

func round(f float64) float64 { return math.Round(f*10_000) / 10_000 }
