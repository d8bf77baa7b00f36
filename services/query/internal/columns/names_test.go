package columns

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestNamesKeepTheirNumbers(t *testing.T) {
	n := newNames()
	var texts []string
	for i := range 20_000 {
		texts = append(texts, fmt.Sprintf("name %d%s", i, strings.Repeat("x", i%50)))
	}
	texts = append(texts, "", strings.Repeat("long", 50_000), "after long")
	for i := range 5_000 {
		texts = append(
			texts, strings.Repeat("z", 100+i%60)+fmt.Sprint(i), string(pack(nil, fmt.Sprintf("%0*x", 2*(i%40), i))),
			string(pack(nil, fmt.Sprintf("%08x-0000-4000-8000-000000000000", i))),
		)
	}
	texts = append(texts, "\x88too long for what it begins with", "\xc0")
	slices.Sort(texts)
	texts = slices.Compact(texts)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	for i, text := range texts {
		if number, fresh := n.number([]byte(text)); number != uint32(i) || !fresh {
			t.Fatalf("%.20q: got number %d (new: %v), want %d", text, number, fresh, i)
		}
	}
	for i, text := range texts {
		if number, fresh := n.number([]byte(text)); number != uint32(i) || fresh {
			t.Fatalf("%.20q again: got number %d (new: %v), want %d", text, number, fresh, i)
		}
		if got := string(n.at(uint32(i))); got != text {
			t.Fatalf("text of %d: got %.20q, want %.20q", i, got, text)
		}
	}
	if _, found := n.lookup([]byte("never seen")); found {
		t.Error("a text that was never given a number has one")
	}
}

func TestAListOfNamesStaysWhatItWasWhileNamesGrow(t *testing.T) {
	n := newNames()
	name := func(i int) string { return strings.Repeat("y", i*i%1000) + fmt.Sprint(i) }
	for i := range 5_000 {
		n.number([]byte(name(i)))
		n.show()
		if i%97 != 0 {
			continue
		}
		list := n.shown.Load()
		t.Cleanup(func() {
			for was := range list.len() {
				if got := string(list.at(uint32(was))); got != name(was) {
					t.Fatalf("text of %d in a list of %d: got %q, want %q", was, list.len(), got, name(was))
				}
			}
		})
	}
}

func FuzzPackedNamesComeOutAsTheyWentIn(f *testing.F) {
	for _, name := range []string{
		"", "x", "0198c5a1-7d3e-7bb2-9c55-0f6a3de1a111", "0198C5A1-7d3e-7bb2-9c55-0f6a3de1a111",
		"0198c5a1-7d3e-7bb2-9c55-0f6a3de1a11-", "--------------------------0123456789", "0198c5a1-7d3e-7bb2-9c55-0f6a3de1a1é",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		b := pack(nil, name)
		if got := unpack(b); got != name {
			t.Errorf("got %q, want %q", got, name)
		}
		if got := unpack(append([]byte{anonymous}, b...)); got != name {
			t.Errorf("as anonymous id: got %q, want %q", got, name)
		}
	})
}
