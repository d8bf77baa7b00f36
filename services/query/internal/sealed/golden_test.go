package sealed_test

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/maidian/maidian/services/query/internal/sealed"
)

// TestManifestsOfVersion1AreStillRead reads one as a start finds it, with what
// a newer replica may add to it, which this one passes over.
func TestManifestsOfVersion1AreStillRead(t *testing.T) {
	text, err := os.ReadFile("testdata/manifest-1.json")
	if err != nil {
		t.Fatal(err)
	}
	var got sealed.Manifest
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := sealed.Manifest{
		Before: 1767225600000,
		Days:   []sealed.Day{{Number: 20452, Rows: 120, Fingerprint: 17293822569102704640, Nameless: 3, Batches: 42}, {Number: 20453, Rows: 1, Fingerprint: 1, Batches: 7}},
		Open:   []sealed.Open{{ID: "b1", Applied: 12}, {ID: "b2", Applied: sealed.Complete}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
