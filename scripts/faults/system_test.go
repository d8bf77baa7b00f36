package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/scripts/faults/halves"
	"github.com/maidian/maidian/scripts/faults/line"
	"github.com/maidian/maidian/scripts/faults/wireproxy"
)

// system is the pipeline under test, each part a process, on a private broker.
type system struct {
	t         testing.TB
	rabbit    *testenv.Rabbit       // the node, or the first of the cluster
	nodes     []*testenv.Rabbit     // all of them
	lines     map[string]*line.Line // between a program, by its name, and the node, in some layouts
	first     bool                  // of several runs of a fault: faults that take their time last as long as they are to
	ferret    *testenv.FerretDB     // nil on SQLite, and where MONGODB_URI names a server
	wire      *wireproxy.Proxy      // between the services and MongoDB
	collector *process
	beside    *process // a collector of another build, if there is one
	consumer  *process
	query     *process // on SQLite the same as the consumer
	store     string   // as the checker wants it
	keys      map[string][2]string
	env       []string // of every process
	fault     *fault   // that is done to it
	hopeless  bool     // it is a control: what is missing will not come
	check     *checker
	following *following // nil: nothing is made of what is stored
}

// layout is what a system is made of.
type layout func(t testing.TB, patches []patch, env []string) *system

// onSQLite is two processes, quick enough for a full load: the collector, and
// the consumer with the query service beside it.
func onSQLite(t testing.TB, patches []patch, env []string) *system {
	t.Helper()
	return onSQLiteIn(t, t.TempDir(), patches, env)
}

// onSQLiteIn keeps the store in dir.
func onSQLiteIn(t testing.TB, dir string, patches []patch, env []string) *system {
	t.Helper()
	return onSQLiteWith(newSystem(t, testenv.StartRabbit(t)), dir, patches, env)
}

// onCluster has three nodes, which the services and the checker know all of.
func onCluster(t testing.TB, patches []patch, env []string) *system {
	t.Helper()
	return onSQLiteWith(newSystem(t, testenv.StartRabbitCluster(t, 3)...), t.TempDir(), patches, env)
}

// onLines has a line between each of the two processes and the broker.
func onLines(t testing.TB, patches []patch, env []string) *system {
	t.Helper()
	s := newSystem(t, testenv.StartRabbit(t))
	for _, half := range []string{"collecting", "storing"} {
		l, err := line.Start(s.rabbit.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		s.lines[half] = l
	}
	return onSQLiteWith(s, t.TempDir(), patches, env)
}

func newSystem(t testing.TB, nodes ...*testenv.Rabbit) *system {
	return &system{t: t, rabbit: nodes[0], nodes: nodes, lines: map[string]*line.Line{}, keys: map[string][2]string{}}
}

func onSQLiteWith(s *system, dir string, patches []patch, env []string) *system {
	s.t.Helper()
	s.store = "sqlite:" + filepath.Join(dir, "maidian.db")
	for _, name := range halves.Names() {
		s.keys[name] = [2]string{halves.Key(name, store.WriteKey), halves.Key(name, store.ReadKey)}
	}
	s.env = append([]string{"STORE_DIR=" + dir}, env...)
	s.consumer = s.process("scripts/faults/cmd/storing", "QUERY_LISTEN", "/readyz", patches)
	s.query = s.consumer
	s.collector = s.process("scripts/faults/cmd/collecting", "COLLECTOR_LISTEN", "/readyz", patches)
	s.startAll()
	return s
}

// onMongo is the three services as production runs them, on the server that
// MONGODB_URI names, or on FerretDB, which is slow: small loads only.
func onMongo(t testing.TB, patches []patch, env []string) *system {
	t.Helper()
	s := newSystem(t, testenv.StartRabbit(t))
	s.env = append([]string{
		"MONGODB_URI=" + s.mongo(), "MONGODB_DATABASE=" + database(s.store), "QUERY_ADMIN_KEY=" + adminKey,
	}, env...)
	s.query = s.process("services/query/cmd/query", "QUERY_LISTEN", "/readyz", patches)
	s.consumer = s.process("services/consumer/cmd/consumer", "OPS_LISTEN", "/readyz", patches)
	s.collector = s.process("services/collector/cmd/collector", "COLLECTOR_LISTEN", "/readyz", patches)
	s.startAll()
	for _, name := range halves.Names() {
		s.keys[name] = s.makeProject(name)
	}
	return s
}

// mongo finds the store and returns the address at which the services find
// it: the proxy's. The checker asks the server itself.
func (s *system) mongo() string {
	s.t.Helper()
	direct := os.Getenv("MONGODB_URI")
	if direct == "" {
		s.ferret = testenv.StartFerretDB(s.t)
		direct = s.ferret.URI()
	}
	u, err := url.Parse(direct)
	if err != nil {
		s.t.Fatalf("MONGODB_URI: %v", err)
	}
	if s.wire, err = wireproxy.Start(u.Host); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.wire.Close)
	u.Path = fmt.Sprintf("/maidian_%d", time.Now().UnixNano())
	s.store = u.String()
	options := u.Query()
	options.Set("directConnection", "true") // else the driver goes on to the addresses that the server names
	u.Host, u.Path, u.RawQuery = s.wire.Addr(), "/", options.Encode()
	return u.String()
}

// database is the name in a store's address.
func database(store string) string {
	address, _, _ := strings.Cut(store, "?")
	return path.Base(address)
}

const adminKey = "ak_of_the_faults_0123456789"

// process makes one that listens on an address of its own, and kills it at the end.
func (s *system) process(program, listen, health string, patches []patch) *process {
	s.t.Helper()
	at, name := freeAddress(s.t), filepath.Base(program)
	p := &process{
		t: s.t, name: name, program: build(s.t, program, patches...), health: "http://" + at + health,
		env: append([]string{"LOG_LEVEL=warn", "RABBITMQ_URL=" + s.broker(name), "OPS_LISTEN=" + freeAddress(s.t), listen + "=" + at}, s.env...),
	}
	s.t.Cleanup(func() {
		p.kill()
		if s.t.Failed() && p.output.String() != "" {
			s.t.Logf("%s printed at the end:\n%s", p.name, p.output.String())
		}
	})
	return p
}

// broker is where a program finds RabbitMQ.
func (s *system) broker(program string) string {
	if l := s.lines[program]; l != nil {
		return "amqp://guest:guest@" + l.Addr() + "/"
	}
	return s.amqp()
}

// amqp are the nodes themselves.
func (s *system) amqp() string {
	var urls []string
	for _, n := range s.nodes {
		urls = append(urls, n.URL())
	}
	return strings.Join(urls, ",")
}

func (s *system) startAll() {
	s.t.Helper()
	for _, p := range []*process{s.query, s.consumer, s.collector} {
		if p.cmd == nil {
			p.start()
		}
	}
	for _, p := range []*process{s.query, s.consumer, s.collector} {
		p.up()
	}
	s.awaitRegistered()
}

// awaitRegistered waits until every node has written down that the queue exists.
// RabbitMQ 3.10 does that up to a second after it has declared it; killed
// before, it comes back with a queue that answers nothing, for ever.
func (s *system) awaitRegistered() {
	s.t.Helper()
	if !strings.Contains(s.ctl("list_queues", "name", "type"), queue+"\tquorum") {
		return // in a build that is broken on purpose
	}
	for _, n := range s.nodes {
		eventually(s.t, "RabbitMQ to write down its queues", func() bool { return hasRegistered(n.Dir()) })
	}
}

// hasRegistered says whether a node's register of quorum queues knows the queue.
func hasRegistered(dir string) bool {
	registers, _ := filepath.Glob(filepath.Join(dir, "data", "*", "quorum", "*", "names.dets")) // the pattern is well-formed
	for _, register := range registers {
		text, err := os.ReadFile(register)
		if all := strings.Count(string(text), queue); err == nil && all > strings.Count(string(text), queue+".") { // not only the queues beside it
			return true
		}
	}
	return false
}

// again starts a process that has ended, and waits for it.
func (s *system) again(p *process) {
	s.t.Helper()
	p.start()
	p.up()
}

func (p *process) url() string {
	const health = "/readyz"
	return p.health[:len(p.health)-len(health)]
}

// collectors are the addresses that the load goes to.
func (s *system) collectors() string {
	if s.beside == nil {
		return s.collector.url()
	}
	return s.collector.url() + "," + s.beside.url()
}

// makeProject asks the query service for a project and returns its two keys.
func (s *system) makeProject(name string) [2]string {
	s.t.Helper()
	body, err := json.Marshal(map[string]string{"id": name, "name": name})
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, s.query.url()+"/api/v1/admin/projects", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", adminKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var made struct {
		Write string `json:"write_key"`
		Read  string `json:"read_key"`
	}
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil || made.Write == "" {
		s.t.Fatalf("make project %s: %s, %v", name, res.Status, err)
	}
	return [2]string{made.Write, made.Read}
}

// ctl runs rabbitmqctl on the system's broker, on a node that runs.
func (s *system) ctl(args ...string) string {
	s.t.Helper()
	n := s.rabbit
	for i := 1; i < len(s.nodes) && !n.Alive(); i++ {
		n = s.nodes[i]
	}
	return n.Ctl(s.t, args...)
}

// eval runs Erlang on the broker.
func (s *system) eval(format string, args ...any) string {
	s.t.Helper()
	return s.ctl("eval", fmt.Sprintf(format, args...))
}

func (s *system) json(text string, into any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
}
