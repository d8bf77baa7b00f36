package ask

import (
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

func params(t *testing.T, body string) *Params {
	t.Helper()
	p, err := ParamsFromJSON([]byte(body))
	if err != nil {
		t.Fatalf("ParamsFromJSON(%s): %v", body, err)
	}
	return p
}

func TestDurations(t *testing.T) {
	tests := map[string]event.Time{
		`90`: 90 * second, `"30m"`: hour / 2, `"12h"`: 12 * hour, `"7d"`: 7 * day, `"2w"`: 14 * day,
		`"1h30m"`: hour + hour/2, `0.5`: 500, `"1.5h"`: hour + hour/2, `"10s"`: 10 * second,
	}
	for text, want := range tests {
		p := params(t, `{"window": `+text+`}`)
		got := p.Duration("window", "14d", 1000*day)
		if err := p.Done(); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
		if back, ok := ParseDuration(DurationText(got)); !ok || back != got {
			t.Errorf("%s is written as %s, which reads as %d", text, DurationText(got), back)
		}
	}
	for _, text := range []string{`0`, `-1`, `"-5m"`, `"0d"`, `"soon"`, `"5"`, `"5x"`, `""`, `true`, `"7d "x`} {
		p, err := ParamsFromJSON([]byte(`{"window": ` + text + `}`))
		if err != nil {
			continue
		}
		p.Duration("window", "14d", 1000*day)
		if p.Done() == nil {
			t.Errorf("%s is taken as a duration", text)
		}
	}
}
