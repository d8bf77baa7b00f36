package destination_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/maidian/maidian/pkg/destination"
)

// TestStatesOfEachVersionAreStillRead reads how far forwarders of released
// programs had come, and what a newer one may write, with fields that this one does not know.
func TestStatesOfEachVersionAreStillRead(t *testing.T) {
	for file, want := range map[string]destination.State{
		"state-1.json":      {Start: "s1", Sent: 12, LeftOut: 3, Refused: 1, StoredAt: 1767225600000, WaitingAt: 1767225590000, LastSentAt: 1767225599000, LastError: "503", LastErrorAt: 1767225598000, Failures: 2},
		"state-future.json": {Start: "s1", Sent: 12, LeftOut: 3, Refused: 1, StoredAt: 1767225600000, Backlog: destination.Backlog{Entries: 1, Events: 20}, SavedAt: 1767225600000},
	} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var got destination.State
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(got.Position) == 0 {
			t.Errorf("%s: no position", file)
		}
		got.Position = nil
		if a, b := said(t, got), said(t, want); a != b {
			t.Errorf("%s: got %s, want %s", file, a, b)
		}
	}
}

func said(t *testing.T, s destination.State) string {
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
