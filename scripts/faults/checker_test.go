package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// report is what the checker found, as it writes it.
type report struct {
	Attempted    int
	Acknowledged int
	Rejected     int
	Stored       int
	Recovered    int
	DeadLettered int `json:"dead_lettered"`
	Lost         int
	Duplicated   int
	Requests     map[string]struct {
		Count   int
		Longest int64 `json:"longest_ms"`
	}
	Findings []struct {
		Rule     string
		Count    int
		Examples []string
	}
	Resumed struct {
		Accepting int64 `json:"accepting_ms"`
		Storing   int64 `json:"storing_ms"`
	}
	Followed  *followed // nil where nothing follows the events
	behaviour behaviour // what was seen beside the checker
}

// broken says how often one of some rules was found broken.
func (r *report) broken(rules ...string) (n int) {
	for _, f := range r.Findings {
		if slices.Contains(rules, f.Rule) {
			n += f.Count
		}
	}
	return n
}

// checker is maidian-check at work on a system, as a process that shares
// nothing with it.
type checker struct {
	t      testing.TB
	s      *system
	ledger string
	load   *exec.Cmd
	said   bytes.Buffer

	read     int64 // bytes of the ledger that are counted
	answers  map[string]int
	accepted int // events
}

// loading starts the load; it goes on until stop.
func (s *system) loading(seed int, flags ...string) *checker {
	s.t.Helper()
	c := &checker{t: s.t, s: s, answers: map[string]int{}, ledger: filepath.Join(s.t.TempDir(), "ledger.jsonl")}
	s.check = c
	if s.following != nil {
		s.following.begin()
	}
	args := append(c.common("load"),
		"-collector", s.collectors(), "-seed", fmt.Sprint(seed), "-duration", "10m",
		"-rate", rate(), "-concurrency", "8", "-poison", "0.02", "-timeout", "10s")
	c.load = exec.Command(program(s.t), append(args, flags...)...)
	c.load.Stdout, c.load.Stderr = &c.said, &c.said
	if err := c.load.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if c.load.ProcessState == nil {
			_ = c.load.Process.Kill()
			_ = c.load.Wait()
		}
	})
	return c
}

// program is the checker itself, which no patch ever touches.
func program(t testing.TB) string { return build(t, "scripts/check") }

// rate of the load: FAULT_RATE events a second, 0 for as fast as it goes.
func rate() string {
	if r := os.Getenv("FAULT_RATE"); r != "" {
		return r
	}
	return "1500"
}

func (c *checker) common(command string) []string {
	args := []string{command, "-ledger", c.ledger, "-amqp", c.s.amqp()}
	for name, keys := range c.s.keys {
		args = append(args, "-project", name+"="+keys[0]+","+keys[1])
	}
	return args
}

// stop ends the load once every batch has its answer.
func (c *checker) stop() {
	c.t.Helper()
	if err := c.load.Process.Signal(os.Interrupt); err != nil {
		c.t.Fatalf("the load ended early: %v\n%s", err, c.said.String())
	}
	if err := c.load.Wait(); err != nil {
		c.t.Fatalf("load: %v\n%s", err, c.said.String())
	}
}

// judge is the verdict. One that finds something is asked for again when the
// broker holds nothing more: AMQP does not tell the checker what a consumer has
// in its hands, and a slow store may keep that still for long. What is lost,
// altered or there twice stays so.
func (c *checker) judge(since time.Time) *report {
	c.t.Helper()
	r := c.verify(since)
	if len(r.Findings) == 0 || c.s.following != nil { // of what follows the checker itself asks for long
		return r
	}
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); c.s.messages() > 0 && time.Now().Before(end); {
		<-tick.C
	}
	return c.verify(since)
}

// verify is the checker's verdict; times to resume count from since.
func (c *checker) verify(since time.Time) *report {
	c.t.Helper()
	path := c.ledger + ".report.json"
	cmd := exec.Command(program(c.t), append(c.common("verify"),
		"-store", c.s.store, "-query", c.s.query.url(), "-report", path, "-quiet", quiet(),
		"-resumed-after", since.UTC().Format(time.RFC3339Nano))...)
	if c.s.following != nil {
		cmd.Args = append(cmd.Args, c.s.following.judged()...)
	}
	said, err := cmd.CombinedOutput()
	text, readErr := os.ReadFile(path)
	if readErr != nil {
		c.t.Fatalf("verify: %v\n%s", err, said)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		c.t.Fatal(err)
	}
	if (err == nil) != (len(r.Findings) == 0) {
		c.t.Fatalf("verify: %v, but there are %d findings\n%s", err, len(r.Findings), said)
	}
	c.t.Logf("%s", said)
	return &r
}

// quiet is how long nothing must change: FAULT_QUIET.
func quiet() string {
	if q := os.Getenv("FAULT_QUIET"); q != "" {
		return q
	}
	return "3s"
}

// answered counts the answers of some kinds in the ledger, separated by "|": a
// status, or the name of why there was none.
func (c *checker) answered(kinds string) (n int) {
	c.t.Helper()
	c.readOn()
	for kind := range strings.SplitSeq(kinds, "|") {
		n += c.answers[kind]
	}
	return n
}

// readOn takes the lines that were added to the ledger since it was last read.
func (c *checker) readOn() {
	c.t.Helper()
	f, err := os.Open(c.ledger)
	if err != nil {
		return // not begun yet
	}
	defer f.Close()
	if _, err := f.Seek(c.read, io.SeekStart); err != nil {
		c.t.Fatal(err)
	}
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // the rest of the line is on its way
		}
		c.read += int64(len(line))
		c.count(line)
	}
}

func (c *checker) count(line []byte) {
	var l struct {
		Done struct {
			Try      int
			Status   int
			Error    string
			Accepted int
		}
	}
	if !bytes.HasPrefix(line, []byte(`{"done"`)) || json.Unmarshal(line, &l) != nil || l.Done.Try < 0 {
		return
	}
	kind := l.Done.Error
	if l.Done.Status != 0 {
		kind = strconv.Itoa(l.Done.Status)
	}
	c.answers[kind]++
	c.accepted += l.Done.Accepted
}

// until waits for so many more answers of some kinds.
func (c *checker) until(kinds string, more int) {
	c.t.Helper()
	want := c.answered(kinds) + more
	eventually(c.t, fmt.Sprintf("%d more answers %q", more, kinds), func() bool { return c.answered(kinds) >= want })
}
