package rule

import (
	"math"
	"slices"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
	"github.com/axiomhq/hyperloglog"
	"github.com/cespare/xxhash/v2"

	"github.com/maidian/maidian/pkg/event"
)

// metric is what is measured of the events of a window.
type metric struct {
	name   string
	number bool // of a property that is a number
	cells  int  // what a bucket of it may weigh, in units of 8 bytes
	of     func(b *bucket) (value float64, measured bool)
}

// metrics of threshold and change rules, in the order in which errors list them.
func metrics() []metric {
	return []metric{
		{"count", false, 2, func(b *bucket) (float64, bool) { return float64(b.Count), true }},
		{"users", false, 512, func(b *bucket) (float64, bool) { return b.Users.estimate(), true }},
		{"sum", true, 3, func(b *bucket) (float64, bool) { return b.Sum, true }},
		{"avg", true, 3, func(b *bucket) (float64, bool) { return b.Sum / float64(b.Count), b.Count > 0 }},
		{"p95", true, 512, func(b *bucket) (float64, bool) { return b.Values.p95() }},
		{"ratio", false, 3, func(b *bucket) (float64, bool) { return float64(b.Count) / float64(b.Of), b.Of > 0 }},
	}
}

func metricNamed(name string) metric {
	all := metrics()
	return all[slices.IndexFunc(all, func(m metric) bool { return m.name == name })]
}

// bucket is what is known of the events of a slice of time. Buckets of a window
// are merged when it is judged.
type bucket struct {
	Index  int64   `json:"i"` // its start, in steps since 1970
	Count  int64   `json:"n,omitempty"`
	Of     int64   `json:"of,omitempty"` // of ratio: what Count is compared with
	Sum    float64 `json:"s,omitempty"`
	Users  *users  `json:"u,omitempty"`
	Values *values `json:"v,omitempty"`
}

func (b *bucket) merge(o *bucket) {
	b.Count += o.Count
	b.Of += o.Of
	b.Sum += o.Sum
	if o.Users != nil {
		b.users().merge(o.Users)
	}
	if o.Values != nil {
		b.values().merge(o.Values)
	}
}

func (b *bucket) users() *users {
	if b.Users == nil {
		b.Users = newUsers()
	}
	return b.Users
}

func (b *bucket) values() *values {
	if b.Values == nil {
		b.Values = newValues()
	}
	return b.Values
}

// users counts different users. Up to some hundred it is exact but for one in
// tens of millions whose hashes meet; above it is right to 1.6 %.
type users struct{ sketch *hyperloglog.Sketch }

// usersPrecision makes 4,096 registers.
const usersPrecision = 12

func newUsers() *users {
	s, err := hyperloglog.NewSketch(usersPrecision, true)
	if err != nil {
		panic(err) // only another precision can be wrong
	}
	return &users{s}
}

// userOf is whose an event is, as far as it says so itself.
func userOf(e *event.Event) string {
	switch {
	case e.UserID != "":
		return e.UserID
	case e.AnonymousID != "":
		return e.AnonymousID
	}
	return e.SessionID
}

func (u *users) add(user string) { u.sketch.InsertHash(xxhash.Sum64String(user)) }

func (u *users) merge(o *users) {
	if err := u.sketch.Merge(o.sketch); err != nil {
		panic(err) // only sketches of different precision do not go together
	}
}

func (u *users) estimate() float64 {
	if u == nil {
		return 0
	}
	return float64(u.sketch.Estimate())
}

// MarshalText is for keeping it.
func (u *users) MarshalText() ([]byte, error) {
	raw, err := u.sketch.MarshalBinary()
	return encode(raw), err
}

// UnmarshalText reads what MarshalText wrote.
func (u *users) UnmarshalText(text []byte) error {
	raw, err := decode(text)
	if err != nil {
		return err
	}
	u.sketch = newUsers().sketch
	return u.sketch.UnmarshalBinary(raw)
}

// values are numbers of which a percentile is asked. It is right to 1 % of
// itself, but for the lowest of numbers that lie further apart than 10^17.
type values struct{ sketch *ddsketch.DDSketch }

const (
	valuesAccuracy = 0.01
	mostBins       = 2048
)

func binStore() store.Store { return store.NewCollapsingLowestDenseStore(mostBins) }

func newValues() *values {
	m, err := mapping.NewLogarithmicMapping(valuesAccuracy)
	if err != nil {
		panic(err) // only another accuracy can be wrong
	}
	return &values{ddsketch.NewDDSketch(m, binStore(), binStore())}
}

// add leaves out what no sketch can hold: it would take 10^308.
func (v *values) add(n float64) { _ = v.sketch.Add(n) }

func (v *values) merge(o *values) {
	if err := v.sketch.MergeWith(o.sketch); err != nil {
		panic(err) // only sketches of different accuracy do not go together
	}
}

func (v *values) p95() (float64, bool) {
	if v == nil || v.sketch.IsEmpty() {
		return 0, false
	}
	n, err := v.sketch.GetValueAtQuantile(0.95)
	return n, err == nil && !math.IsNaN(n)
}

// MarshalText is for keeping it.
func (v *values) MarshalText() ([]byte, error) {
	var raw []byte
	v.sketch.Encode(&raw, false)
	return encode(raw), nil
}

// UnmarshalText reads what MarshalText wrote.
func (v *values) UnmarshalText(text []byte) error {
	raw, err := decode(text)
	if err != nil {
		return err
	}
	v.sketch, err = ddsketch.DecodeDDSketch(raw, binStore, nil)
	return err
}
