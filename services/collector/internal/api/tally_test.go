package api

import (
	"maps"
	"net/http"
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

func TestWhatClientsWereToldIsTallied(t *testing.T) {
	c := start(t)
	batch := `{"events":[{"event_type":"a"},{"event_type":"b"},{"event_type":"purchase","properties":{"amount":-1}}]}`
	c.send(request{path: batchPath, body: batch, header: withKey})
	c.send(request{path: batchPath, body: batch, header: withKey})
	c.send(request{path: trackPath, body: `{`, header: withKey})
	c.send(request{path: trackPath, body: `{}`, header: http.Header{"X-Api-Key": {"wk_strict"}, "Origin": {"https://evil.example"}}})
	c.send(request{path: trackPath, body: `{"event_type":"a"}`, header: http.Header{"X-Api-Key": {"wk_nobody"}}})
	if err := c.Intake.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, body := range c.broker.bodies {
		h, _, _, err := event.DecodeMessage(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, y := range h.Tallies {
			got[y.Project+" "+y.Key+" "+y.Outcome] += y.Events
		}
	}
	want := map[string]int{"shop k1 accepted": 4, "shop k1 invalid_field": 2, "shop k1 invalid_json": 1, "strict k4 origin_not_allowed": 1}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
