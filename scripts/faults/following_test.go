package faults

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// following is what comes after storing: processes that tell people and
// forward, and the checker's own server, which they do that to.
type following struct {
	*system
	processes []*process // beside those that do something else
	receiver  *process
	dir       string // of what the checker keeps of it
	uneasy    bool   // those who forward may have begun anew by themselves

	read     int64          // bytes of the arrivals that are counted
	arrivals map[string]int // that were answered with 200, by path
}

// onFollowing has the storing half only store and answer, and two processes
// that follow. They share its SQLite store, which else belongs to one process:
// SQLite itself keeps them apart, and what they change they change by comparing revisions.
func onFollowing(t testing.TB, patches []patch, env []string) *system {
	t.Helper()
	f := newFollowing(t)
	s := onSQLite(t, append(slices.DeleteFunc(slices.Clone(patches), ofFollowers), shared), append(f.env(), env...))
	s.following, f.system = f, s
	for i := range 2 {
		p := s.process("scripts/faults/cmd/following", "OPS_LISTEN", "/readyz", append(slices.Clone(patches), shared))
		p.name = fmt.Sprint("following ", i+1)
		p.env = append(p.env, "CONSUMER_ROLES=alert,forward")
		f.processes = append(f.processes, p)
		s.again(p)
	}
	return s
}

// onMongoFollowing has the one consumer do all: FerretDB loses updates when there are several.
func onMongoFollowing(t testing.TB, patches []patch, env []string) *system {
	t.Helper()
	f := newFollowing(t)
	s := onMongo(t, patches, append(append(f.env(), "CONSUMER_ROLES=store,alert,forward"), env...))
	s.following, f.system = f, s
	return s
}

func newFollowing(t testing.TB) *following {
	f := &following{dir: t.TempDir(), arrivals: map[string]int{}}
	f.receiver = &process{t: t, name: "receiver", program: program(t), args: []string{
		"receive", "-watch", f.path("watch"), "-listen", freeAddress(t), "-arrivals", f.path("arrivals"), "-manner", f.path("manner"),
	}}
	t.Cleanup(f.receiver.kill)
	return f
}

func (f *following) address() string { return f.receiver.args[4] }

// env is of every process.
func (f *following) env() []string {
	_, port, _ := net.SplitHostPort(f.address())
	return []string{
		"CONSUMER_ROLES=store", "FORWARD_FILES=" + f.path("files"),
		"QUERY_ADMIN_KEY=" + adminKey, "MAIDIAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)),
		"OUTGOING_ALLOW_HTTP=true", "OUTGOING_PORTS=" + port, "OUTGOING_ALLOW_NETWORKS=127.0.0.0/8", "OUTGOING_TIMEOUT=3s",
	}
}

// ofFollowers says that a patch concerns nobody else: what is not built anew is quicker.
func ofFollowers(p patch) bool {
	return slices.ContainsFunc([]string{"alert", "channel", "feed", "forward", "lease", "notify"}, func(folder string) bool {
		return strings.HasPrefix(p.file, "services/consumer/internal/"+folder+"/")
	}) || p.file == evaluatorGo || p.file == noticeGo
}

// shared lets several processes have the store open.
var shared = patch{"pkg/store/sqlite/lock_unix.go", "syscall.LOCK_EX|", "syscall.LOCK_SH|"}

func (f *following) path(name string) string { return filepath.Join(f.dir, name) }

// gentle is a load that all this can be judged of in a short time.
var gentle = []string{"-rate", "400", "-days", "2"}

// begin has rules, channels and destinations made, and what they send to listen.
func (f *following) begin() {
	f.t.Helper()
	args := []string{"define", "-query", f.query.url(), "-admin-key", adminKey, "-watch", f.path("watch"), "-receiver", "http://" + f.address()}
	for name, keys := range f.keys {
		args = append(args, "-project", name+"="+keys[0]+","+keys[1])
	}
	if said, err := exec.Command(program(f.t), append(append(args, gentle...), f.fault.define...)...).CombinedOutput(); err != nil {
		f.t.Fatalf("define: %v\n%s", err, said)
	}
	if err := os.MkdirAll(f.path("files"), 0o755); err != nil {
		f.t.Fatal(err)
	}
	f.receiver.start()
}

// judged are the flags with which the checker judges what followed.
func (f *following) judged() []string {
	patience := "3m"
	if f.hopeless {
		patience = "40s"
	}
	interruptions := "0"
	if f.uneasy {
		interruptions = "-1"
	}
	return append([]string{"-follow-within", patience, "-watch", f.path("watch"), "-admin-key", adminKey, "-arrivals", f.path("arrivals"), "-files", f.path("files"), "-interruptions", interruptions}, f.fault.verify...)
}

// paths are those of the receiver.
func (f *following) paths() (all []string) {
	for _, project := range slices.Sorted(maps.Keys(f.keys)) {
		all = append(all, "/told/"+project, "/forwarded/"+project)
	}
	return all
}

// followed waits until everything is followed: what is stored from then on must be told.
func (s *system) followed() {
	s.t.Helper()
	if s.following != nil {
		s.following.until(1)
	}
}

// until waits until so many more requests were taken on every path: then for
// every project there is somebody who tells, and somebody who forwards.
func (f *following) until(more int) {
	f.t.Helper()
	f.readOn()
	before := maps.Clone(f.arrivals)
	eventually(f.t, fmt.Sprintf("%d more requests to tell and to forward, of every project", more), func() bool {
		f.readOn()
		return !slices.ContainsFunc(f.paths(), func(p string) bool { return f.arrivals[p] < before[p]+more })
	})
}

// refused waits until so many more requests were not taken.
func (f *following) refused(more int) {
	f.t.Helper()
	f.readOn()
	want := f.arrivals[""] + more
	eventually(f.t, fmt.Sprintf("%d more requests that are not taken", more), func() bool {
		f.readOn()
		return f.arrivals[""] >= want
	})
}

// readOn counts what has arrived since the last time; what was not taken counts under "".
func (f *following) readOn() {
	f.t.Helper()
	file, err := os.Open(f.path("arrivals"))
	if err != nil {
		return // nothing has
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, f.read, 1<<40))
	if err != nil {
		f.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var a struct {
			Path   string
			Status int
		}
		if !strings.HasSuffix(line, "\n") {
			return
		}
		f.read += int64(len(line))
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			f.t.Fatalf("%v in %s", err, line)
		}
		if a.Status != 200 {
			a.Path = ""
		}
		f.arrivals[a.Path]++
	}
}

// answering has the receiver answer so until heal is called.
func (f *following) answering(manner string) (heal func()) {
	f.t.Helper()
	if err := os.WriteFile(f.path("manner"), []byte(manner), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(f.path("manner")); err != nil {
			f.t.Fatal(err)
		}
	}
}
