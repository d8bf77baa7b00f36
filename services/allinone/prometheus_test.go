package allinone_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inPrometheus has a real Prometheus watch the system with the rules that are
// kept for it, and asks it what the dashboards ask: everything has an answer.
func (s *system) inPrometheus(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not here: scripts/need prometheus installs it")
	}
	p := s.startPrometheus(t, program)
	eventually(t, "rates, for which each service must be seen twice", func() bool {
		return len(p.ask(t, `count_over_time(up{job=~"maidian.*"}[1m]) > 2 and sum_over_time(up[1m]) > 2`)) == len(services)
	})
	files, err := filepath.Glob("../../deploy/grafana/dashboards/*.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	for _, file := range files {
		for title, expressions := range expressionsOf(t, file) {
			for _, e := range expressions {
				if len(p.ask(t, e)) == 0 {
					t.Errorf("%s: %s: nothing comes of %s", filepath.Base(file), title, e)
				}
			}
		}
	}
	p.checkRules(t)
}

// expressionsOf a dashboard by the titles of its panels.
func expressionsOf(t *testing.T, file string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	all := map[string][]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"))
		}
	}
	return all
}

// promServer is a running Prometheus.
type promServer struct{ url string }

func (s *system) startPrometheus(t *testing.T, program string) promServer {
	t.Helper()
	rules, err := filepath.Abs("../../deploy/prometheus/rules/maidian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\nrule_files: [" + rules + "]\nscrape_configs:\n"
	for _, service := range services {
		config += fmt.Sprintf("  - {job_name: maidian-%s, metrics_path: /%s/metrics, static_configs: [{targets: ['%s']}]}\n", service, service, s.Ops)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p := promServer{"http://" + address}
	eventually(t, "Prometheus to be ready", func() bool {
		res, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return p
}

// freeAddress is for a program that cannot tell which port it was given.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p promServer) get(t *testing.T, path string, out any) {
	t.Helper()
	res, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatal(err)
	}
}

// ask is what comes of an expression now.
func (p promServer) ask(t *testing.T, expression string) []any {
	t.Helper()
	var answer struct{ Data struct{ Result []any } }
	p.get(t, "/api/v1/query?query="+url.QueryEscape(expression), &answer)
	return answer.Data.Result
}

// checkRules wants every alert evaluated without an error, and none of those
// firing that wait for nothing.
func (p promServer) checkRules(t *testing.T) {
	t.Helper()
	type group struct {
		Rules []struct{ Name, Health, LastError, State string }
	}
	evaluated := func() (groups []group, all bool) {
		var answer struct{ Data struct{ Groups []group } }
		p.get(t, "/api/v1/rules", &answer)
		all = len(answer.Data.Groups) > 0
		for _, g := range answer.Data.Groups {
			for _, r := range g.Rules {
				all = all && r.Health != "unknown"
			}
		}
		return answer.Data.Groups, all
	}
	eventually(t, "all rules to be evaluated", func() bool { _, all := evaluated(); return all })
	groups, _ := evaluated()
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.Health != "ok" || r.State == "firing" {
				t.Errorf("%s is %s (%s) and %s while all is well", r.Name, r.Health, r.LastError, r.State)
			}
		}
	}
}
