package destination

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/maidian/maidian/pkg/testenv"
)

// TestTheExamplesAreRight reads the file that people begin with.
func TestTheExamplesAreRight(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy", "destinations.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Destinations []map[string]any `yaml:"destinations"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, definition := range file.Destinations {
		sent, err := json.Marshal(definition)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Read(sent)
		if err != nil {
			t.Errorf("%s: %v", definition["id"], err)
			continue
		}
		types = append(types, d.Type)
	}
	for _, name := range Types() {
		if !slices.Contains(types, name) {
			t.Errorf("there is no example of type %s", name)
		}
	}
}
