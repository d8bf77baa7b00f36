package mongo

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// readers are what reads the documents of each collection.
var readers = map[string]func(doc bson.Raw) (any, error){
	"batch":       into(func(d *batch) any { return d.entry() }),
	"dead_letter": into(func(d *deadLetter) any { return d.letter() }),
	"discard":     into(func(d *discard) any { return d.meaning() }),
	"event":       func(doc bson.Raw) (any, error) { e, err := decode(doc); return *e, err },
	"job":         into(func(d *job) any { return d.job() }),
	"project":     into(func(d *project) any { return d.project() }),
	"record":      into(func(d *record) any { return d.record() }),
	"tally":       into(func(d *tally) any { return *d.meaning() }),
}

func into[D any](value func(*D) any) func(bson.Raw) (any, error) {
	return func(doc bson.Raw) (any, error) {
		var d D
		err := bson.Unmarshal(doc, &d)
		return value(&d), err
	}
}

// TestDocumentsOfEachVersionAreStillRead reads documents as released programs
// wrote them, and some as a newer one may, with fields that this one does not
// know: testdata/documents1/<kind>-<name>.json, and .want beside it. They are
// never changed; a version that writes others adds its own.
func TestDocumentsOfEachVersionAreStillRead(t *testing.T) {
	files, err := filepath.Glob("testdata/documents*/*.json")
	if err != nil || len(files) < len(readers) {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var doc bson.Raw
			if err := bson.UnmarshalExtJSON(text, true, &doc); err != nil {
				t.Fatal(err)
			}
			kind, _, _ := strings.Cut(filepath.Base(file), "-")
			value, err := readers[kind](doc)
			if err != nil {
				t.Fatal(err)
			}
			got := told(value)
			want, err := os.ReadFile(strings.TrimSuffix(file, ".json") + ".want")
			if os.IsNotExist(err) && os.Getenv("GOLDEN") == "write" { // right for new files only
				err = os.WriteFile(strings.TrimSuffix(file, ".json")+".want", []byte(got), 0o644)
				want = []byte(got)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// told is a line for each field that says something: a field that is added later changes nothing.
func told(value any) string {
	var b strings.Builder
	for field, of := range reflect.ValueOf(value).Fields() {
		if !of.IsZero() {
			fmt.Fprintf(&b, "%s %+v\n", field.Name, of.Interface())
		}
	}
	return b.String()
}
