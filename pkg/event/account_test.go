package event

import (
	"maps"
	"testing"
)

func TestWhatAnSDKSaysItDropped(t *testing.T) {
	for properties, want := range map[string]map[string]int{
		``:                               nil,
		`{"a":1}`:                        nil,
		`{"$dropped":{"full":3}}`:        {"full": 3},
		`{"a":"$dropped","$sequence":7}`: nil,
		`{"$dropped":{"full":3,"expired":1,"too_large":2,"full":1}}`:         {"full": 4, "expired": 1, "too_large": 2},
		`{"$dropped":{"moon":2,"$a.b":1}}`:                                   {OtherDrops: 3},
		`{"$dropped":[1,2]}`:                                                 nil,
		`{"$dropped":"full"}`:                                                nil,
		`{"$dropped":null}`:                                                  nil,
		`{"$dropped":7}`:                                                     nil,
		`{"$dropped":{}}`:                                                    nil,
		`{"$dropped":{"full":-1,"expired":0,"too_large":1e300}}`:             nil,
		`{"$dropped":{"full":"3","expired":[3],"too_large":{"full":3}}}`:     nil,
		`{"$dropped":{"full":1.5,"expired":2.0,"too_large":99999999999999}}`: {"expired": 2},
		`{"$dropped":{"full":1048576,"expired":1048577}}`:                    {"full": 1048576},
		`{"deep":{"$dropped":{"full":1}}}`:                                   nil,
	} {
		if got := (&Event{Properties: properties}).Dropped(); !maps.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: got %v, want %v", properties, got, want)
		}
	}
}

func TestTheNumberOfAnEvent(t *testing.T) {
	for text, want := range map[string]uint32{
		`1`: 1, `2147483648`: 1 << 31, `7.0`: 7, `1e3`: 1000,
		`0`: 0, `-1`: 0, `1.5`: 0, `2147483649`: 0, `1e300`: 0, `-1e300`: 0, `1e-300`: 0, `"x"`: 0, `"1"`: 0, `null`: 0, `true`: 0, `[1]`: 0, `{"a":1}`: 0,
	} {
		if got := SequenceOf(Property(`{"$sequence":`+text+`}`, SequenceProperty)); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

// Whatever a stranger writes, the counts are small and positive, and their reasons few.
func FuzzWhatAnSDKSays(f *testing.F) {
	for _, properties := range []string{`{"$dropped":{"full":3}}`, `{"$dropped":[1e300],"$sequence":-1}`, `{"$sequence":1e300,"$dropped":{"":1,"full":{}}}`} {
		f.Add(`{"event_type":"a","properties":` + properties + `}`)
	}
	f.Fuzz(func(t *testing.T, body string) {
		e, err := DecodeWire(`{"project":"p","event_id":"e",` + body[min(1, len(body)):])
		if err != nil {
			return
		}
		dropped := e.Dropped()
		for reason, n := range dropped {
			if n < 1 || n > mostDropped*len(e.Properties) || knownReason(reason) != reason {
				t.Errorf("%s: got %d for the reason %q", e.Properties, n, reason)
			}
		}
		if n := SequenceOf(Property(e.Properties, SequenceProperty)); n > mostSequence {
			t.Errorf("%s: got the number %d", e.Properties, n)
		}
	})
}
