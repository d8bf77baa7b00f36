package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/ask"
)

// The test binary is the command when it is told so: tests run the real thing
// in processes of its own, which they can kill.
func TestMain(m *testing.M) {
	if os.Getenv("MAIDIAN_TEST_AS_COMMAND") != "" {
		os.Exit(run(os.Args[1:], os.Stderr))
	}
	os.Exit(m.Run())
}

// process is a running maidian.
type process struct {
	*exec.Cmd
	t      *testing.T
	mu     sync.Mutex
	output bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

func maidian(t *testing.T, args ...string) *process {
	t.Helper()
	p, _ := piped(t, args...)
	return p
}

// piped is a running maidian and its standard input.
func piped(t *testing.T, args ...string) (*process, io.WriteCloser) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(self, args...), t: t}
	p.Env = []string{"MAIDIAN_TEST_AS_COMMAND=1", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	p.Stdout, p.Stderr = p, p
	in, err := p.StdinPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	return p, in
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = p.Process.Kill() // it may have ended
	_ = p.Wait()
}

// exit waits for the process's own end and returns its code.
func (p *process) exit() int {
	p.t.Helper()
	late := time.AfterFunc(2*time.Minute, func() { _ = p.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}

// doors are two addresses that stay the same over restarts.
type doors struct{ collector, query string }

func newDoors(t *testing.T) doors {
	t.Helper()
	var free [2]string
	for i := range free {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		free[i] = l.Addr().String()
	}
	return doors{free[0], free[1]}
}

func (d doors) serve(t *testing.T, dir string) *process {
	t.Helper()
	p := maidian(t, "serve", "-data", dir, "-listen", d.collector, "-query-listen", d.query)
	eventually(t, "maidian to be up", func() bool {
		res, err := http.Get("http://" + d.query + "/readyz")
		if err == nil {
			res.Body.Close()
		}
		return err == nil && res.StatusCode == http.StatusOK && strings.Contains(p.text(), "is up")
	})
	return p
}

func (d doors) importing(t *testing.T, file string, flags ...string) *process {
	return maidian(t, d.importArgs(file, flags...)...)
}

func (d doors) importArgs(file string, flags ...string) []string {
	args := append([]string{"import", "-collector", "http://" + d.collector, "-query", "http://" + d.query}, flags...)
	return append(args, file)
}

// halfway starts an import that has been given only the first half of the text,
// and returns once some of that can be seen.
func (d doors) halfway(t *testing.T, text string) (*process, io.WriteCloser) {
	t.Helper()
	p, in := piped(t, d.importArgs("-", "-format", "ndjson", "-batch", "20")...)
	if _, err := io.WriteString(in, text[:len(text)/2]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some of the file to be stored", func() bool { return d.total(t) > 0 })
	return p, in
}

// total is how many events can be seen.
func (d doors) total(t *testing.T) int {
	t.Helper()
	var answer struct{ Total int }
	c := ask.Client{URL: "http://" + d.query, Key: allinone.DemoReadKey}
	if err := c.Post(t.Context(), "stats/events", map[string]any{"from": "2026-03-01", "to": "2026-03-31"}, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Total
}

// ids are all the stored events' ids, with how often each was exported.
func (d doors) ids(t *testing.T) map[string]int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+d.query+"/api/v1/analytics/export?format=ndjson&from=2026-01-01&to=2026-12-31", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", "rk_demo")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	ids := map[string]int{}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			ID string `json:"event_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("export: %v in %s", err, lines.Bytes())
		}
		ids[e.ID]++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func eventually(t *testing.T, what string, effect func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !effect() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func visits(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"event_id":"v-%06d","event":"page_view","user_id":"u%d","time":"2026-03-%02dT10:00:00Z","page_url":"https://shop.example/%d"}`+"\n", i, i%97, 1+i%28, i%13)
	}
	return text.String()
}

func inFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "visits.ndjson")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var accepted = regexp.MustCompile(`accepted\s+([\d,]+)\n\s+stored\s+([\d,]+) .*\n\s+duplicate\s*([\d,]+)`)

func settled(t *testing.T, p *process) (accept, stored, duplicate string) {
	t.Helper()
	m := accepted.FindStringSubmatch(p.text())
	if m == nil {
		t.Fatalf("no summary in\n%s", p.text())
	}
	return m[1], m[2], m[3]
}

func TestKilledInTheMiddleOfAnImport(t *testing.T) {
	const n = 10_000
	text, dir, at := visits(n), t.TempDir(), newDoors(t)
	server := at.serve(t, dir)
	half, _ := at.halfway(t, text)
	server.kill()
	half.kill()

	at.serve(t, dir)
	whole := at.importing(t, inFile(t, text))
	if code := whole.exit(); code != 0 {
		t.Fatalf("import ended with %d:\n%s", code, whole.text())
	}
	if a, s, d := settled(t, whole); a != "10,000" || d == "0" || s == "0" {
		t.Errorf("accepted %s, stored %s, duplicate %s; want 10,000 and some of each: the kill came in the middle", a, s, d)
	}
	at.exactly(t, n)
}

func TestAnImportOutlivesARestart(t *testing.T) {
	const n = 10_000
	text, dir, at := visits(n), t.TempDir(), newDoors(t)
	server := at.serve(t, dir)
	imp, in := at.halfway(t, text)
	server.kill()
	at.serve(t, dir)
	if _, err := io.WriteString(in, text[len(text)/2:]); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if code := imp.exit(); code != 0 {
		t.Fatalf("import ended with %d:\n%s", code, imp.text())
	}
	at.exactly(t, n)
}

// exactly wants each of the file's events once, and no other.
func (d doors) exactly(t *testing.T, n int) {
	t.Helper()
	eventually(t, "all events to be visible", func() bool { return d.total(t) >= n })
	ids := d.ids(t)
	for i := range n {
		if id := fmt.Sprintf("v-%06d", i); ids[id] != 1 {
			t.Fatalf("event %s is stored %d times", id, ids[id])
		}
	}
	if len(ids) != n {
		t.Errorf("%d events are stored, want the file's %d", len(ids), n)
	}
}

func TestCtrlCDrainsAndExitsInOrder(t *testing.T) {
	const n = 3000
	file, dir, at := inFile(t, visits(n)), t.TempDir(), newDoors(t)
	server := at.serve(t, dir)
	imp := at.importing(t, file, "-query", "")
	if code := imp.exit(); code != 0 {
		t.Fatalf("import ended with %d:\n%s", code, imp.text())
	}
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := server.exit(); code != 0 {
		t.Errorf("exit code %d after Ctrl-C:\n%s", code, server.text())
	}
	at.serve(t, dir)
	at.exactly(t, n)
}

func TestASecondOneOnTheSameDataIsRefused(t *testing.T) {
	dir := t.TempDir()
	newDoors(t).serve(t, dir)
	second := maidian(t, "serve", "-data", dir, "-listen", "127.0.0.1:0", "-query-listen", "127.0.0.1:0")
	if code := second.exit(); code != 1 || strings.Count(strings.TrimSpace(second.text()), "\n") != 0 {
		t.Errorf("exit code %d and\n%s\nwant 1 and one line", code, second.text())
	}
}

func TestDeadLettersAreListedReplayedAndDiscarded(t *testing.T) {
	at, dir := newDoors(t), t.TempDir()
	layLetters(t, filepath.Join(dir, "store"))
	at.serve(t, dir)
	broken := "b/1  project \"demo\"  2026-01-01T00:00:00.000Z  attempt 1\n  cut off\n  {\n"
	for _, tt := range []struct {
		words []string
		code  int
		want  string // part of the output; empty: nothing comes out
	}{
		{[]string{"list", "-filter", "reason=cut", "-filter", "to=2026-01-01"}, 0, broken},
		{[]string{"-project", "demo", "list", "-filter", "event_type=scroll"}, 0, ""},
		{[]string{"show", "b/0"}, 0, `"event_id": "late"`},
		{[]string{"show", "b/7"}, 1, "no dead letter b/7"},
		{[]string{"replay", "all", "-dry-run"}, 0, "dry run: 1 replayed: 1 events stored, 0 duplicates; 1 letters stay\n"},
		{[]string{"replay", "-filter", "text=nowhere"}, 1, "the filter means none"},
		{[]string{"replay", "b/0"}, 0, "1 replayed: 1 events stored, 0 duplicates; 0 letters stay\n"},
		{[]string{"replay", "b/0"}, 1, "may have been replayed"},
		{[]string{"list"}, 0, broken},
		{[]string{"discard", "all", "-reason", "noise", "-dry-run"}, 0, "dry run: 1 discarded\n"},
		{[]string{"discard", "-filter", "text={", "-reason", "noise", "-by", "ann"}, 0, "1 discarded\n"},
		{[]string{"replay"}, 0, "0 replayed: 0 events stored, 0 duplicates; 0 letters stay\n"},
		{[]string{"discards"}, 0, "by ann at 127.0.0.1\n  noise\n"},
	} {
		p := maidian(t, append([]string{"dead-letters", "-query", "http://" + at.query}, tt.words...)...)
		code, text := p.exit(), p.text()
		if code != tt.code || !strings.Contains(text, tt.want) || tt.want == "" && text != "" {
			t.Errorf("dead-letters %v: exit code %d, %q, want %d, %q", tt.words, code, text, tt.code, tt.want)
		}
	}
}

// layLetters leaves two dead letters in a store that nobody has open: one that
// can be stored after all, and one that never can.
func layLetters(t *testing.T, dir string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	late := event.Event{Project: "demo", EventID: "late", EventType: "click", EventName: "click", Timestamp: 1767225600000, ReceivedAt: 1767225600000}
	err = s.PutDeadLetters(t.Context(), []store.DeadLetter{
		{ID: "b/0", Project: "demo", BatchID: "b", Reason: "panic while storing", Payload: late.AppendWire(nil), Attempts: 1, FirstSeen: 1767225600000},
		{ID: "b/1", Project: "demo", BatchID: "b", Position: 1, Reason: "cut off", Payload: []byte("{"), Attempts: 1, FirstSeen: 1767225600000},
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAccountsArePrinted(t *testing.T) {
	at := newDoors(t)
	at.serve(t, t.TempDir())
	events := visits(30) + `{"event_id":"bad","event":"purchase","user_id":"u","time":"2026-03-01T10:00:00Z","amount":-1}` + "\n"
	if imp := at.importing(t, inFile(t, events)); imp.exit() > 1 {
		t.Fatal(imp.text())
	}
	all := regexp.MustCompile(`(?m)^  all +30 +30 +0 +0 +0 +0 +0 +1 +0$`)
	last := ""
	eventually(t, "the accounts to add up", func() bool {
		p := maidian(t, "account", "-query", "http://"+at.query, "-days", "2")
		code := p.exit()
		last = p.text()
		return code == 0 && all.MatchString(last)
	})
	if !strings.Contains(last, "invalid_field       1") || !strings.Contains(last, "hour") {
		t.Errorf("got\n%s\nwant the table, and why one was rejected", last)
	}
	wrong := maidian(t, "account", "-query", "http://"+at.query, "-from", "yesterday")
	if code := wrong.exit(); code != 1 || strings.Count(strings.TrimSpace(wrong.text()), "\n") != 0 {
		t.Errorf("from yesterday: exit code %d and\n%s\nwant 1 and one line", code, wrong.text())
	}
}

func TestSegmentsAreVerifiedWhileNothingRuns(t *testing.T) {
	dir := t.TempDir()
	missing := maidian(t, "segments", "verify", "-data", dir)
	if code := missing.exit(); code != 1 || !strings.Contains(missing.text(), "no data") {
		t.Errorf("without data: exit code %d, %q", code, missing.text())
	}
	server := newDoors(t).serve(t, dir)
	busy := maidian(t, "segments", "rebuild", "-data", dir)
	if code := busy.exit(); code != 1 || strings.Count(strings.TrimSpace(busy.text()), "\n") != 0 {
		t.Errorf("beside a running one: exit code %d and\n%s\nwant 1 and one line", code, busy.text())
	}
	server.kill()
	for _, word := range []string{"verify", "rebuild"} {
		p := maidian(t, "segments", word, "-data", dir, "-project", "demo")
		if code := p.exit(); code != 0 || p.text() != "no day is sealed there\n" {
			t.Errorf("segments %s: exit code %d, %q", word, code, p.text())
		}
	}
}

func TestDemoPrintsTheShopsTables(t *testing.T) {
	p := maidian(t, "demo", "-once", "-memory", "-file", "", "-listen", "127.0.0.1:0", "-query-listen", "127.0.0.1:0")
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p.text())
	}
	for _, want := range []string{"Funnel", "product_view", "Retention", "week 1", "Top pages", "https://shop.example/"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("the demo does not print %q:\n%s", want, p.text())
		}
	}
}

func TestCommandLinesThatMeanNothing(t *testing.T) {
	for _, args := range [][]string{{}, {"nonsense"}, {"serve", "-nonsense"}, {"serve", "word"}, {"import"}, {"import", "a", "b"}, {"simulate", "-rate", "-1"}, {"account", "all"}, {"dead-letters"}, {"dead-letters", "bury"}, {"dead-letters", "discard"}, {"dead-letters", "discard", "all"}, {"dead-letters", "show"}, {"dead-letters", "list", "b/1"}, {"dead-letters", "list", "-filter", "moon=full"}, {"dead-letters", "replay", "b/1", "-filter", "text=x"}, {"forward"}, {"forward", "fly"}, {"forward", "show"}, {"forward", "replay", "x"}, {"forward", "list", "x"}, {"segments"}, {"segments", "burn"}, {"segments", "verify", "-from", "yesterday"}} {
		p := maidian(t, args...)
		if code := p.exit(); code != 2 || p.text() == "" {
			t.Errorf("maidian %v: exit code %d, output %q", args, code, p.text())
		}
	}
}
