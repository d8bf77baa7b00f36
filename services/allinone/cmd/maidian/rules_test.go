package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/ask"
)

// rules runs the command on a file and gives what it says.
func (d doors) rules(t *testing.T, code int, args ...string) string {
	t.Helper()
	p := maidian(t, append([]string{"rules", "-query", "http://" + d.query}, args...)...)
	if got := p.exit(); got != code {
		t.Fatalf("%v: got %d, want %d: %s", args, got, code, p.text())
	}
	return p.text()
}

// defined are the ids of what the project has of a kind.
func (d doors) defined(t *testing.T, kind string) string {
	t.Helper()
	f := ruleFile{admin: admin{client: ask.Client{URL: "http://" + d.query, Key: allinone.DemoAdminKey}, project: allinone.DemoProject}}
	ids, err := f.there(t.Context(), kind)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(ids, " ")
}

// TestTheExampleIsApplied brings the repository's own file to a running
// service, twice, and then one that has less.
func TestTheExampleIsApplied(t *testing.T) {
	d := newDoors(t)
	d.serve(t, t.TempDir())
	example := filepath.Join(testenv.Root(t), "deploy", "alerts.yaml")
	for range 2 {
		said := d.rules(t, 0, "apply", example)
		for _, want := range []string{"7 channels applied, 0 others", "8 rules applied, 0 others", "1 silences applied, 0 others"} {
			if !strings.Contains(said, want) {
				t.Errorf("got %q, want %q", said, want)
			}
		}
	}
	if got := d.defined(t, "channels"); got != "dingtalk feishu hook mail slack telegram wecom" {
		t.Errorf("got the channels %s", got)
	}
	less := filepath.Join(t.TempDir(), "less.yaml")
	text := "rules:\n- {id: large-purchase, kind: event, event: purchase, channels: [slack]}\nsilences: []\n"
	if err := os.WriteFile(less, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.rules(t, 0, "apply", less)
	if got := strings.Fields(d.defined(t, "rules")); len(got) != 8 {
		t.Errorf("without -prune: got the rules %s", got)
	}
	d.rules(t, 0, "-prune", "apply", less)
	for kind, want := range map[string]string{"rules": "large-purchase", "silences": "", "channels": "dingtalk feishu hook mail slack telegram wecom"} {
		if got := d.defined(t, kind); got != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
	d.rules(t, 1, "check", filepath.Join(t.TempDir(), "none.yaml"))
}

// TestAWrongFileChangesNothing has a mistake after something right.
func TestAWrongFileChangesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	text := "- {id: a, kind: event, event: purchase}\n- {id: b, kind: threshold, event: click}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, do := range []string{"check", "apply"} {
		err := rulesCommand(t.Context(), []string{"-query", "http://127.0.0.1:1", do, file})
		if err == nil || !strings.Contains(err.Error(), "rules[1]: value: is required") {
			t.Errorf("%s: got %v, want the mistake", do, err)
		}
	}
}
