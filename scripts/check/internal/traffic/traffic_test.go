package traffic

import (
	"encoding/json"
	"testing"
)

func plan() *Plan {
	return &Plan{Seed: 3, Projects: []string{"a", "b"}, Users: 40, Days: 3, Now: 1_750_000_000_000, Invalid: 0.05, Pills: 0.05}
}

func TestAnEventIsTheSameEveryTime(t *testing.T) {
	for k := range 500 {
		one, again := plan().Event("a", k), plan().Event("a", k)
		if one.Hash() != again.Hash() || string(one.Sent) != string(again.Sent) || one.Kind != again.Kind {
			t.Fatalf("event %d is once\n%s and once\n%s", k, one.Sent, again.Sent)
		}
		if other := plan().Event("b", k); other.ID != one.ID || other.Hash() == one.Hash() {
			t.Fatalf("event %d of two projects: want the same id and another content", k)
		}
	}
}

func TestThePlanHasEveryKind(t *testing.T) {
	kinds := map[Kind]int{}
	for k := range 2000 {
		e := plan().Event("a", k)
		kinds[e.Kind]++
		if e.Kind == Pill && e.Want["event_type"] != PillType {
			t.Errorf("a pill of the type %v", e.Want["event_type"])
		}
	}
	for kind, least := range map[Kind]int{Good: 1500, Invalid: 50, Pill: 50} {
		if kinds[kind] < least {
			t.Errorf("%d of 2000 events are %s, want at least %d", kinds[kind], kind, least)
		}
	}
}

func TestAHashIsOfWhatAnObjectMeans(t *testing.T) {
	hash := func(text string) string {
		object, err := Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return Hash(object)
	}
	base := hash(`{"a":1.50,"b":"é"}`)
	for text, same := range map[string]bool{
		`{ "b":"\u00e9", "a":1.50 }`:                true,
		`{"a":1.5,"b":"é"}`:                         false,
		`{"a":"1.50","b":"é"}`:                      false,
		`{"a":1.50}`:                                false,
		`{"a":1.50,"b":"é","c":null}`:               false,
		`{"a":1.50000000000000001,"b":"é"}`:         false,
		`{"a":1.50,"b":"é "}`:                       false,
		`{"a":1.50,"b":["é"]}`:                      false,
		`{"a":1.50,"b":"\u0065\u0301"}`:             false,
		"{\"a\":1.50,\"b\":\"\\u00E9\",\"a\":1.50}": true,
	} {
		if got := hash(text) == base; got != same {
			t.Errorf("%s: the same %v, want %v", text, got, same)
		}
	}
}

func TestAsStored(t *testing.T) {
	for _, tt := range []struct{ sent, want string }{
		{`{"event_type":"x"}`, `{"event_type":"x","event_name":"x"}`},
		{`{"event_type":"x","event_name":"y","user_id":12}`, `{"event_type":"x","event_name":"y","user_id":"12"}`},
		{`{"event_type":"x","timestamp":5}`, `{"event_type":"x","event_name":"x","client_timestamp":5}`},
		{`{"event_type":"x","timestamp":"1970-01-01T01:00:00.25+01:00"}`, `{"event_type":"x","event_name":"x","client_timestamp":250}`},
	} {
		got, err := Decode([]byte(tt.sent))
		if err != nil {
			t.Fatal(err)
		}
		asStored(got)
		if got["user_agent"] != Agent {
			t.Errorf("%s: user agent %v", tt.sent, got["user_agent"])
		}
		delete(got, "user_agent")
		if text, _ := json.Marshal(got); HashText(text) != hashOf(t, tt.want) {
			t.Errorf("%s is to be stored as %s, want %s", tt.sent, text, tt.want)
		}
	}
}

func hashOf(t *testing.T, text string) string {
	t.Helper()
	object, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Hash(object)
}
