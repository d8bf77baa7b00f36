package allinone_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
)

// TestTheRunbookHasEveryAlert holds the two against each other, and every link
// of the operators' pages against what it points to.
func TestTheRunbookHasEveryAlert(t *testing.T) {
	deploy := filepath.Join(testenv.Root(t), "deploy")
	rules, runbook := page(t, deploy, "prometheus/rules/maidian.yaml"), page(t, deploy, "RUNBOOK.md")
	var alerts []string
	for _, m := range regexp.MustCompile(`(?m)^\s*- alert: (\w+)$`).FindAllStringSubmatch(rules, -1) {
		alerts = append(alerts, m[1])
	}
	_, section, _ := strings.Cut(runbook, "\n## Alerts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var told []string
	for _, m := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(section, -1) {
		told = append(told, m[1])
	}
	if len(alerts) == 0 || !slices.Equal(slices.Sorted(slices.Values(alerts)), slices.Sorted(slices.Values(told))) {
		t.Errorf("alerts without a section, or sections without an alert:\nalerts   %v\nsections %v", alerts, told)
	}
	for _, m := range regexp.MustCompile(`runbook_url: \S+/deploy/RUNBOOK\.md#(\S+)`).FindAllStringSubmatch(rules, -1) {
		if !slices.Contains(anchors(runbook), m[1]) {
			t.Errorf("an alert points to #%s of the runbook, which is not there", m[1])
		}
	}
	for _, name := range []string{"RUNBOOK.md", "CAPACITY.md"} {
		for _, m := range regexp.MustCompile(`\]\(([\w./-]*)(?:#([\w-]+))?\)`).FindAllStringSubmatch(page(t, deploy, name), -1) {
			to := m[1]
			if to == "" {
				to = name
			}
			text := page(t, deploy, to)
			if m[2] != "" && !slices.Contains(anchors(text), m[2]) {
				t.Errorf("%s points to %s, which is not there", name, m[0])
			}
		}
	}
}

func page(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchors are those that a page's headings have.
func anchors(page string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		plain := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}
