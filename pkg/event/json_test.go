package event

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzValueAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,2.5e-3,{"b":null}],"c":"\u00e9\ud83d\ude00\n"}`, `[]`, ` { "a" : [ ] } `, `-0.0`, `01`, `1.`, `"\x"`, `"\ud800"`, `["\udfff\ud83d\ude00\uD83D", {"\ud83dx": 1}]`,
		`{"a":1,"a":2}`, "\"\x01\"", `{"a":tru}`, `[1,]`, `{,}`, strings.Repeat("[", 300), `1e999`, `"\u+123"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.Count(s, "[")+strings.Count(s, "{") > maxNesting {
			t.Skip("ours is stricter by decision")
		}
		c := cursor{s: s}
		_, err := c.value(&shape{})
		if err == nil {
			err = c.end()
		}
		if want := json.Valid([]byte(s)); (err == nil) != want {
			t.Fatalf("%q: got error %v, encoding/json says valid=%v", s, err, want)
		}
		if err != nil {
			return
		}
		if got := compact(s); !sameJSON(t, got, s) {
			t.Fatalf("compact(%q) = %q means something else", s, got)
		}
	})
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	return reflect.DeepEqual(numbers(t, a), numbers(t, b))
}

func numbers(t *testing.T, s string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return v
}

func FuzzTextRoundTrip(f *testing.F) {
	f.Add("é\x00\"\\\n\u2028😀")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			t.Skip()
		}
		quoted := string(appendQuoted(nil, s))
		var std string
		if err := json.Unmarshal([]byte(quoted), &std); err != nil || std != s {
			t.Fatalf("encoding/json reads %q from %q (%v)", std, quoted, err)
		}
		c := cursor{s: quoted}
		if got, err := c.text(); err != nil || got != s {
			t.Fatalf("got %q, %v from %q", got, err, quoted)
		}
	})
}

func TestErrorsSayWhere(t *testing.T) {
	for body, want := range map[string]string{
		`{"event_type":"x",}`:              `at byte 18: expected a string, got '}'`,
		`{"event_type" "x"}`:               `at byte 14: expected ':', got '"'`,
		`{"event_type":"x"} {`:             `at byte 19: expected the end, got '{'`,
		`{"event_type":"x`:                 `at byte 16: the string has no end`,
		"{\"event_type\":\"a\xff\"}":       `at byte 16: the body must be UTF-8`,
		``:                                 `the body must be a JSON object, got nothing`,
		`[]`:                               `the body must be a JSON object, got an array`,
		`{"a":` + strings.Repeat("[", 300): `at byte 205: nested deeper than 200`,
	} {
		if _, err := ParseOne(body, ""); err == nil || err.Error() != want {
			t.Errorf("%.40q:\n got %v\nwant %s", body, err, want)
		}
	}
}
