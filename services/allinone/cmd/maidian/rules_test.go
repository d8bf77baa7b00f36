package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAFileOfRulesIsApplied(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	text := "rules:\n- {id: large, kind: event, event: purchase}\n- id: burst\n  kind: threshold\n  event: click\n  value: 5\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v1/admin/projects/shop/rules"))
		if err := json.NewEncoder(w).Encode(map[string]any{"rules": []any{map[string]any{"definition": map[string]any{"id": "old"}}}}); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	for _, test := range []struct {
		flags []string
		want  []string
	}{
		{nil, []string{"GET ", "PUT /large", "PUT /burst"}},
		{[]string{"-prune"}, []string{"GET ", "PUT /large", "PUT /burst", "DELETE /old"}},
	} {
		asked = nil
		args := append(slices.Clone(test.flags), "-query", server.URL, "-project", "shop", "apply", file)
		if err := rulesCommand(t.Context(), args); err != nil || !slices.Equal(asked, test.want) {
			t.Errorf("%v: asked %v, %v, want %v", args, asked, err, test.want)
		}
	}
}

func TestAFileOfRulesIsChecked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	text := "- {id: a, kind: event, event: purchase}\n- {id: a, kind: event, event: purchase}\n- {id: b, kind: threshold, event: click}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err := rulesCommand(t.Context(), []string{"check", file})
	for _, want := range []string{`rules[1]: id "a" is that of rules[0] too`, "rules[2]: value: is required"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
