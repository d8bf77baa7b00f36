package storetest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
)

// generator makes random events; its seed is in the test's log.
type generator struct{ *rand.Rand }

func newGenerator(t testing.TB) generator {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return generator{rand.New(rand.NewPCG(seed, 1))}
}

func (g generator) event() event.Event {
	e := event.Event{Project: "demo", EventType: "click"}
	for i := range event.Fields {
		f := &event.Fields[i]
		if f.Name == "project" || f.Name == "event_id" || g.IntN(3) == 0 {
			continue
		}
		switch f.Kind {
		case event.Text:
			f.SetText(&e, g.text(1))
		case event.Num:
			f.SetNumber(&e, event.Number(g.number()))
		case event.Moment:
			f.SetTime(&e, event.Time(1+g.Int64N(4102444800000)))
		case event.Flag:
			f.SetFlag(&e, true)
		case event.Object:
			f.SetText(&e, g.object(0))
		}
	}
	return e
}

func (g generator) text(least int) string {
	if g.IntN(4) == 0 {
		return texts[g.IntN(len(texts)-1)] // all but the very long one
	}
	const alphabet = "abcXYZ019 .$%\x00\"\\\n{}[]:,é日😀"
	runes := []rune(alphabet)
	var b strings.Builder
	for range least + g.IntN(12) {
		b.WriteRune(runes[g.IntN(len(runes))])
	}
	return b.String()
}

func (g generator) number() string {
	switch g.IntN(5) {
	case 0:
		return string(numbers[g.IntN(len(numbers))])
	case 1:
		return strconv.FormatInt(int64(g.Uint64())>>g.IntN(64), 10) // of every size, either sign
	case 2:
		return fmt.Sprintf("%.*f", 1+g.IntN(8), g.NormFloat64()*1000)
	case 3:
		return strconv.FormatFloat(g.NormFloat64(), 'e', -1, 64)
	}
	return strconv.FormatFloat(g.ExpFloat64(), 'f', -1, 64)
}

// object has no key twice: such ones do not get past the collector.
func (g generator) object(depth int) string {
	members, seen := []string{}, map[string]bool{}
	for range g.IntN(6) {
		key := keys[g.IntN(len(keys))]
		if g.IntN(2) == 0 {
			key = g.text(0)
		}
		if !seen[key] {
			seen[key] = true
			members = append(members, string(event.TextValue(key).AppendJSON(nil))+":"+g.value(depth+1))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (g generator) value(depth int) string {
	kinds := 7
	if depth >= 7 {
		kinds = 4
	}
	switch g.IntN(kinds) {
	case 0:
		return []string{"null", "true", "false"}[g.IntN(3)]
	case 1:
		return g.number()
	case 2:
		return values[g.IntN(len(values)-12)] // scalars and flat ones
	case 3:
		return string(event.TextValue(g.text(0)).AppendJSON(nil))
	case 4:
		return g.object(depth)
	}
	elements := make([]string, g.IntN(4))
	for i := range elements {
		elements[i] = g.value(depth + 1)
	}
	return "[" + strings.Join(elements, ",") + "]"
}
