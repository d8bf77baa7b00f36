package ask

import (
	"fmt"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
)

func TestFiltersHoldOfAnEvent(t *testing.T) {
	e := event.Event{EventType: "purchase", EventName: "order", Browser: "Firefox", Properties: `{"amount":120,"plan":"pro"}`}
	tests := map[string]struct {
		selector string
		want     bool
	}{
		"by its type":               {`"purchase"`, true},
		"every type":                {`"*"`, true},
		"another type":              {`"click"`, false},
		"by its name":               {`{"event":"purchase","name":"order"}`, true},
		"another name":              {`{"event":"purchase","name":"refund"}`, false},
		"all of several conditions": {`{"event":"*","filters":[{"property":"amount","op":"gte","value":100},{"property":"browser","value":"Firefox"}]}`, true},
		"one of them does not hold": {`{"event":"*","filters":[{"property":"amount","op":"gte","value":100},{"property":"browser","value":"Chrome"}]}`, false},
		"one of several is enough":  {`{"event":"*","filters":[{"or":[{"property":"plan","value":"free"},{"property":"plan","value":"pro"}]}]}`, true},
		"none of several":           {`{"event":"*","filters":[{"or":[{"property":"plan","value":"free"},{"property":"plan","value":"team"}]}]}`, false},
		"not both":                  {`{"event":"*","filters":[{"not":[{"property":"plan","value":"pro"},{"property":"amount","op":"gt","value":200}]}]}`, true},
		"not":                       {`{"event":"*","filters":[{"not":{"property":"plan","value":"pro"}}]}`, false},
		"and within or":             {`{"event":"*","filters":[{"or":[{"and":[{"property":"plan","value":"pro"},{"property":"amount","op":"lt","value":200}]}]}]}`, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := ParamsFromJSON(fmt.Appendf(nil, `{"event":%s}`, tt.selector))
			if err != nil {
				t.Fatal(err)
			}
			s := p.Selector("event", "", calendar.Calendar{Zone: time.UTC})
			if err := p.Done(); err != nil {
				t.Fatal(err)
			}
			if got := s.Selects(&e); got != tt.want {
				t.Errorf("%s: got %t, want %t", tt.selector, got, tt.want)
			}
		})
	}
}
