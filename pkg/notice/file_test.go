package notice

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
)

func TestTheExampleFileIsRight(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(all["channels"]) != len(Types) || len(all["rules"]) != 8 || len(all["silences"]) != 1 {
		t.Errorf("got %d channels, %d rules, %d silences, want one of each type and kind", len(all["channels"]), len(all["rules"]), len(all["silences"]))
	}
}

func TestFilesAreRead(t *testing.T) {
	for _, text := range []string{
		"rules:\n- id: large\n  kind: event\n  event: purchase\n",
		"# ours\n- {id: large, kind: event, event: purchase}\n",
	} {
		all, err := ReadFile([]byte(text))
		if err != nil || len(all) != 1 || len(all["rules"]) != 1 || all["rules"][0].ID != "large" || !strings.Contains(string(all["rules"][0].Text), `"purchase"`) {
			t.Errorf("%q: got %v, %v", text, all, err)
		}
	}
	if all, err := ReadFile([]byte("rules: []\n")); err != nil || all["rules"] == nil || all["channels"] != nil {
		t.Errorf("an empty list: got %v, %v, want it to be one", all, err)
	}
}

func TestMistakesInFiles(t *testing.T) {
	const rule, channel = `{id: a, kind: event, event: purchase}`, `{id: a, type: slack, secrets: {url: {env: CREDENTIAL_A}}}`
	tests := map[string]string{
		"":                                   "must have lists",
		"rules: 5":                           "rules: must be a list",
		"a: [":                               "must be YAML",
		"rules:\n- id: a\n\tkind: b":         "must be YAML",
		"rule: []":                           "rule: is none of channels, rules, silences",
		"rules: [" + rule + "," + rule + "]": `rules[1]: id "a" is that of rules[0] too`,
		"rules: [{id: b, kind: threshold, event: c}, 5]":                                     "rules[0]: value: is required",
		"channels: [{id: A, type: slack}]":                                                   "channels[0]: id",
		"channels: [{type: slack, secrets: {url: {env: CREDENTIAL_A}}}]":                     "channels[0]: id",
		`channels: [{id: a, type: slack, secrets: {url: "https://hooks.slack.com/secret"}}]`: "channels[0]: secrets.url: must be {\"env\"",
		"channels: [{id: a, type: slack, secrets: {url: {set: true}}}]":                      "channels[0]: secrets.url: must be {\"env\"",
		"channels: [" + channel + "," + channel + "]":                                        "channels[1]",
		"silences: [{from: 2026-01-01, to: 2026-01-02}]":                                     "silences[0]: id",
		"silences: [{id: a, to: 2026-01-02}]":                                                "silences[0]: from",
		"silences: [{id: a, from: 2026-01-01}]":                                              "silences[0]: to",
	}
	for text, want := range tests {
		if _, err := ReadFile([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hooks.slack.com") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
