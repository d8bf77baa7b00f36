package allinone_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/maidian/maidian/pkg/rule"
)

// A rule is made by the API; an event that is sent to the collector afterwards
// makes its firing, once, though the system is stopped and started meanwhile.
func TestARuleTellsOfWhatIsSent(t *testing.T) {
	c := config(t)
	s := start(t, c)
	definition := map[string]any{"id": "large", "kind": "event", "severity": "critical", "event": map[string]any{
		"event": "purchase", "filters": []map[string]any{{"property": "amount", "op": "gte", "value": 10000}},
	}}
	if status := s.call(http.MethodPost, s.query+"/api/v1/admin/projects/demo/rules", "ak_demo", definition, nil); status != http.StatusCreated {
		t.Fatalf("create the rule: got %d", status)
	}
	eventually(t, "the rule to be evaluated", func() bool {
		_, err := s.Store.Record(t.Context(), rule.StateKind, "demo", "state")
		return err == nil
	})
	purchase := func(id string, amount int) map[string]any {
		return map[string]any{"event_type": "purchase", "event_id": id, "user_id": "ada", "properties": map[string]any{"order_id": id, "amount": amount}}
	}
	var told []rule.Firing
	read := func() int {
		records, err := s.Store.Records(t.Context(), rule.FiringKind, "demo", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		told = make([]rule.Firing, len(records))
		for i := range records {
			if err := json.Unmarshal(records[i].Data, &told[i]); err != nil {
				t.Fatal(err)
			}
		}
		return len(told)
	}
	s.send("wk_demo", purchase("a", 9999), purchase("b", 10000))
	eventually(t, "the first firing", func() bool { return read() == 1 })
	s.stop()

	s = start(t, c)
	s.send("wk_demo", purchase("b", 10000), purchase("c", 12000), purchase("d", 3))
	eventually(t, "the second firing", func() bool { return read() == 2 })
	for i, id := range []string{"b", "c"} {
		if f := told[i]; f.Rule != "large" || f.Severity != "critical" || f.Event == nil || f.Event.EventID != id || f.Event.UserID != "ada" {
			t.Errorf("got %+v, want that of event %s", f, id)
		}
	}
}
