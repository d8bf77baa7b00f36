package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/prometheus/promql/parser"
)

const deploy = "../../deploy/"

func TestDashboardsAreKeptAsTheyAreWritten(t *testing.T) {
	folder := t.TempDir()
	if err := write(folder); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(deploy + "grafana/dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range kept {
		if _, err := os.Stat(filepath.Join(folder, filepath.Base(file))); err != nil {
			t.Errorf("%s is written by nobody", file)
		}
	}
	for _, d := range dashboards() {
		name := d.uid + ".json"
		if !bytes.Equal(read(t, deploy+"grafana/dashboards/"+name), read(t, filepath.Join(folder, name))) {
			t.Errorf("%s is kept otherwise than it is written: make dashboards", name)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// loaded is what Grafana reads of a dashboard.
type loaded struct {
	UID, Title    string
	SchemaVersion int
	Panels        []struct {
		ID              int
		Type, Title     string
		GridPos         struct{ X, Y, W, H int }
		Targets         []struct{ RefID, Expr string }
		FieldConfig     struct{ Defaults struct{ Unit string } }
		Datasource      struct{ Type, UID string }
		OptionsAreThere json.RawMessage `json:"options"`
	}
}

func TestDashboardsCanBeLoaded(t *testing.T) {
	uids := map[string]bool{}
	for _, d := range dashboards() {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var l loaded
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatal(err)
		}
		if uids[l.UID] || l.UID == "" || len(l.UID) > 40 || l.Title == "" || l.SchemaVersion < 36 {
			t.Errorf("%s: uid, title and schema are %q, %q and %d", d.uid, l.UID, l.Title, l.SchemaVersion)
		}
		uids[l.UID] = true
		ids, taken := map[int]bool{}, map[[2]int]bool{}
		for _, p := range l.Panels {
			if ids[p.ID] || p.ID < 1 || p.Title == "" {
				t.Errorf("%s: panel %d %q: ids are unique and titles are there", d.uid, p.ID, p.Title)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if taken[[2]int{x, y}] || x >= columns {
						t.Fatalf("%s: %q lies on another or beside the page", d.uid, p.Title)
					}
					taken[[2]int{x, y}] = true
				}
			}
			if p.Type == "row" {
				if !strings.HasSuffix(p.Title, "?") {
					t.Errorf("%s: a row answers a question, not %q", d.uid, p.Title)
				}
				continue
			}
			if len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" || p.Datasource.Type != "prometheus" || len(p.OptionsAreThere) == 0 {
				t.Errorf("%s: %q lacks what a panel needs", d.uid, p.Title)
			}
			refs := map[string]bool{}
			for _, target := range p.Targets {
				if refs[target.RefID] || target.Expr == "" {
					t.Errorf("%s: %q has query %q twice, or empty", d.uid, p.Title, target.RefID)
				}
				refs[target.RefID] = true
			}
		}
	}
}

// metric is a row of METRICS.md.
type metric struct {
	kind   string
	labels []string
}

var (
	documented = regexp.MustCompile("(?m)^\\| `(maidian_[a-z_]+)` \\| ([a-z]+) \\| (.*?) \\| .* \\|$")
	quoted     = regexp.MustCompile("`([a-z_]+)`")
)

func metrics(t *testing.T) map[string]metric {
	t.Helper()
	all := map[string]metric{}
	for _, row := range documented.FindAllStringSubmatch(string(read(t, deploy+"METRICS.md")), -1) {
		m := metric{kind: row[2], labels: []string{"job", "instance", "service"}}
		for _, label := range quoted.FindAllStringSubmatch(row[3], -1) {
			m.labels = append(m.labels, label[1])
		}
		if m.kind == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				all[row[1]+suffix] = metric{"counter", append([]string{"le"}, m.labels...)}
			}
			continue
		}
		all[row[1]] = m
	}
	if len(all) < 80 {
		t.Fatalf("METRICS.md documents %d metrics", len(all))
	}
	// What Prometheus and its Go client add.
	common := []string{"job", "instance"}
	all["up"] = metric{"gauge", common}
	for name, kind := range map[string]string{
		"process_resident_memory_bytes": "gauge", "process_cpu_seconds_total": "counter", "process_start_time_seconds": "gauge",
		"process_open_fds": "gauge", "process_max_fds": "gauge",
	} {
		all[name] = metric{kind, common}
	}
	return all
}

// rules is deploy/prometheus/rules/maidian.yaml.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For string
			Labels           map[string]string
			Annotations      map[string]string
		}
	}
}

func alerts(t *testing.T) (all rules) {
	t.Helper()
	if err := yaml.Unmarshal(read(t, deploy+"prometheus/rules/maidian.yaml"), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// Every expression can be read, names metrics and labels that are documented,
// and takes rates of counters only, and of every counter.
func TestExpressionsNameWhatThereIs(t *testing.T) {
	expressions := map[string]string{}
	for _, d := range dashboards() {
		for _, r := range d.rows {
			for _, p := range r.panels {
				for _, q := range p.queries {
					expressions[q.expr] = d.uid + ": " + p.title
				}
			}
		}
	}
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			expressions[r.Expr] = r.Alert
		}
	}
	known := metrics(t)
	for text, where := range expressions {
		e, err := parser.NewParser(parser.Options{}).ParseExpr(strings.ReplaceAll(text, "$__rate_interval", "5m"))
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
			if v, ok := n.(*parser.VectorSelector); ok {
				check(t, where, known, v, path)
			}
			return nil
		})
	}
}

func check(t *testing.T, where string, known map[string]metric, v *parser.VectorSelector, path []parser.Node) {
	t.Helper()
	m, ok := known[v.Name]
	if !ok {
		t.Errorf("%s: there is no metric %q", where, v.Name)
		return
	}
	asked := []string{}
	for _, matcher := range v.LabelMatchers {
		if matcher.Name != "__name__" {
			asked = append(asked, matcher.Name)
		}
	}
	rated := false
	for _, n := range path {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			if !strings.Contains(n.String(), "group_left") { // which brings labels of another metric
				asked = append(asked, n.Grouping...)
			}
		case *parser.Call:
			rated = rated || n.Func.Name == "rate" || n.Func.Name == "increase"
		}
	}
	for _, label := range asked {
		if !slices.Contains(m.labels, label) {
			t.Errorf("%s: %s has no label %q", where, v.Name, label)
		}
	}
	if rated != (m.kind == "counter") {
		t.Errorf("%s: %s is a %s, and rates are of counters", where, v.Name, m.kind)
	}
}

func TestAlertsAreNamedTestedAndExplained(t *testing.T) {
	var tests struct {
		Tests []struct {
			Asked []struct {
				Expr    string
				Samples []any `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal(read(t, deploy+"prometheus/rules/maidian_test.yaml"), &tests); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	of := regexp.MustCompile(`^count\(ALERTS\{alertname="(\w+)", alertstate="firing"\}\)$`)
	for _, group := range tests.Tests {
		for _, one := range group.Asked {
			alert := of.FindStringSubmatch(one.Expr)
			switch {
			case alert == nil:
				t.Errorf("%s does not ask whether an alert fires", one.Expr)
			case len(one.Samples) > 0:
				fires[alert[1]] = true
			default:
				quiet[alert[1]] = true
			}
		}
	}
	seen := map[string]bool{}
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			if !regexp.MustCompile(`^Maidian([A-Z][a-z]+)+$`).MatchString(r.Alert) || seen[r.Alert] {
				t.Errorf("%s must be CamelCase after Maidian, and be there once", r.Alert)
			}
			seen[r.Alert] = true
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s has severity %q", r.Alert, s)
			}
			for _, name := range []string{"summary", "description"} {
				if r.Annotations[name] == "" {
					t.Errorf("%s has no %s", r.Alert, name)
				}
			}
			if !strings.HasSuffix(r.Annotations["runbook_url"], "deploy/RUNBOOK.md#"+strings.ToLower(r.Alert)) {
				t.Errorf("%s links to %q", r.Alert, r.Annotations["runbook_url"])
			}
			if !fires[r.Alert] || !quiet[r.Alert] {
				t.Errorf("%s has no test in which it fires (%v), or none in which it does not (%v)", r.Alert, fires[r.Alert], quiet[r.Alert])
			}
		}
	}
}

// When each alert fires, and when it does not, is in maidian_test.yaml.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not here: scripts/need prometheus installs it")
	}
	for _, arguments := range [][]string{{"check", "rules", "maidian.yaml"}, {"test", "rules", "maidian_test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, arguments...)
		cmd.Dir = deploy + "prometheus/rules"
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, said)
		}
	}
}
