package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// promtool says what Prometheus' own tool says, and whether it was content.
func promtool(t *testing.T, args ...string) (said string, content bool) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("promtool is missing: scripts/need prometheus")
		}
		t.Skip("promtool is missing: scripts/need prometheus")
	}
	out, err := exec.Command("promtool", args...).CombinedOutput()
	return string(out), err == nil
}

// The rules themselves are checked in scripts/monitoring: here is shown that the check can fail.
func TestWrongAlertRulesAreFound(t *testing.T) {
	const (
		rule = `groups: [{name: shop, rules: [{alert: Closed, expr: "open == 0", for: 1m}]}]`
		test = `{rule_files: [rules.yaml], evaluation_interval: 1m, tests: [{interval: 1m, input_series: [{series: open, values: "0 0 0"}],
			alert_rule_test: [{eval_time: 2m, alertname: Closed, exp_alerts: [{exp_labels: {}}]}]}]}`
	)
	for name, c := range map[string]struct {
		was, becomes    string
		checked, tested bool
	}{
		"as they should be":            {"", "", true, true},
		"an expression that is none":   {"open == 0", "open == ", false, false},
		"a field that nobody reads":    {"for:", "fore:", false, false},
		"an alert that fires too late": {"for: 1m", "for: 5m", true, false},
		"an alert that does not fire":  {"open == 0", "open == 1", true, false},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"rules.yaml": strings.Replace(rule, c.was, c.becomes, 1), "test.yaml": strings.ReplaceAll(test, "\t", " ")} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if said, ok := promtool(t, "check", "rules", filepath.Join(dir, "rules.yaml")); ok != c.checked {
			t.Errorf("%s: promtool check: %s", name, said)
		}
		if said, ok := promtool(t, "test", "rules", filepath.Join(dir, "test.yaml")); ok != c.tested {
			t.Errorf("%s: promtool test: %s", name, said)
		}
	}
}
