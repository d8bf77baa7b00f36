package faults

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
)

// control is a build that breaks the promise, and the fault under which the
// checker must say so.
type control struct {
	name    string
	quick   bool // among the few that run with every test
	fault   string
	finds   string // the rule that must be found broken
	patches []patch
}

// Files that several controls change.
const (
	receiverGo = "pkg/bus/rabbit/receiver.go"
	receiveGo  = "pkg/bus/internal/receive/receive.go"
	sessionGo  = "pkg/bus/rabbit/session.go"
	topologyGo = "pkg/bus/rabbit/topology.go"
	pubGo      = "pkg/bus/rabbit/publisher.go"
	deliverGo  = "services/consumer/internal/deliver/deliver.go"
	insertGo   = "services/consumer/internal/deliver/insert.go"
	intakeGo   = "services/collector/internal/intake/intake.go"
	coalesceGo = "services/collector/internal/intake/coalesce.go"
)

// controls are all there are.
var controls = slices.Concat(storingControls, followingControls)

// storingControls lose, double or change what is to be stored, or count it wrongly.
var storingControls = []control{
	{
		name: "automatic acknowledgement", fault: "consumer kill -9", finds: "lost",
		patches: []patch{
			{receiverGo, `l.ch.Consume(queue, "", false, false`, `l.ch.Consume(queue, "", true, false`},
			{receiverGo, "	in.mu.Lock()\n	defer in.mu.Unlock()\n	if in.over() {\n		return false\n	}\n	in.unread", "	return true\n	in.unread"},
		},
	},
	{
		name: "acknowledged before it is stored", quick: true, fault: "consumer crash before insert", finds: "lost",
		patches: []patch{
			{receiveGo, "	go l.work(ctx, ds)\n", "	var early []D\n	for _, it := range l.working {\n		early = append(early, it.raw)\n	}\n	l.tell(early, nil)\n	go l.work(ctx, ds)\n"},
			{receiveGo, "			done = append(done, it.raw)\n", ""},
		},
	},
	{
		name: "answered before the broker confirms", fault: "broker frozen, then killed", finds: "lost",
		patches: []patch{{coalesceGo, "		<-b.settled\n		err = errors.Join(err, b.err)\n", "		_ = b\n"}},
	},
	{
		name: "200 though publishing failed", fault: "broker frozen, then killed", finds: "lost",
		patches: []patch{{intakeGo, "		return Answer{}, err\n", "		_ = err\n"}},
	},
	{
		name: "transient messages", fault: "broker restart over a backlog", finds: "lost",
		patches: []patch{
			{pubGo, "amqp.Persistent", "amqp.Transient"},
			{topologyGo, "		amqp.QueueTypeArg:           amqp.QueueTypeQuorum, // always", "		amqp.QueueTypeArg:           amqp.QueueTypeClassic, // always"},
			{topologyGo, "		\"x-delivery-limit\":          c.DeliveryLimit,                 // always said: without one, version 4 takes 20\n", ""},
			{topologyGo, "		\"x-dead-letter-strategy\":    \"at-least-once\",\n", ""},
		},
	},
	{
		name: "the oldest are dropped from a full queue", fault: "queue full", finds: "lost",
		patches: []patch{
			{topologyGo, "amqp.QueueOverflowRejectPublish", "amqp.QueueOverflowDropHead"},
			{topologyGo, "		\"x-dead-letter-exchange\":    dead(c.Queue),\n		\"x-dead-letter-routing-key\": c.Queue,\n		\"x-dead-letter-strategy\":    \"at-least-once\",\n", ""},
		},
	},
	{
		name: "an insert stops at the first duplicate", fault: "none, MongoDB", finds: "lost",
		patches: []patch{{"pkg/store/mongo/events.go", "SetOrdered(false)", "SetOrdered(true)"}},
	},
	{
		name: "no primary key", fault: "none", finds: "duplicated",
		patches: []patch{{"pkg/store/sqlite/schema.go", "	body     TEXT    NOT NULL, -- the event as JSON, times in epoch milliseconds\n	PRIMARY KEY (project, event_id)\n) STRICT;\n", "	body     TEXT    NOT NULL\n) STRICT;\nCREATE INDEX events_key ON events (project, event_id);\n"}},
	},
	{
		name: "projects share their keys", fault: "none", finds: "lost",
		patches: []patch{{"pkg/store/sqlite/schema.go", "	PRIMARY KEY (project, event_id)\n) STRICT;\n", "	PRIMARY KEY (event_id)\n) STRICT;\n"}},
	},
	{
		name: "no alternate exchange", quick: true, fault: "binding deleted", finds: "lost",
		patches: []patch{
			{topologyGo, `amqp.Table{"alternate-exchange": unrouted(c.Queue)}`, "nil"},
			{sessionGo, "PublishWithDeferredConfirm(cfg.Queue, cfg.Queue, true, false", "PublishWithDeferredConfirm(cfg.Queue, cfg.Queue, false, false"},
		},
	},
	{
		name: "no dead letters", fault: "none", finds: "dead letters",
		patches: []patch{{deliverGo, "	if len(letters) == 0 {\n", "	if len(letters) >= 0 {\n"}},
	},
	{
		name: "a whole message dies with one bad line", fault: "none", finds: "dead letters",
		patches: []patch{{"services/consumer/internal/deliver/group.go", "	m.batchID = header.BatchID\n	g.events", "	if len(bad) > 0 {\n		m.unreadable(header, bad[0].Err)\n		return\n	}\n	m.batchID = header.BatchID\n	g.events"}},
	},
	{
		name: "the journal is written before the events", fault: "none", finds: "journal",
		patches: []patch{{
			deliverGo, "	if err := d.insert(ctx, g); err != nil {\n		return err\n	}\n	if err := d.bury(ctx, g); err != nil {\n		return err\n	}\n	return d.record(ctx, g)\n",
			"	for i := range g.fates {\n		g.fates[i].end = stored\n	}\n	if err := d.record(ctx, g); err != nil {\n		return err\n	}\n	clear(g.fates)\n	if err := d.insert(ctx, g); err != nil {\n		return err\n	}\n	return d.bury(ctx, g)\n",
		}},
	},
	{
		name: "duplicates count as new", fault: "none", finds: "journal",
		patches: []patch{{insertGo, "store.Duplicate: duplicate", "store.Duplicate: stored"}},
	},
	{
		name: "events of a message lose their places", fault: "none", finds: "place",
		patches: []patch{{"pkg/event/wire.go", "		e.BatchID, e.Position = h.BatchID, lines\n", "		e.BatchID, e.Position = h.BatchID, lines/2\n"}},
	},
	{
		name: "properties are dropped", quick: true, fault: "none", finds: "altered",
		patches: []patch{{"pkg/event/parse.go", "	e.Properties = p.properties()\n", "	if e.Properties = p.properties(); len(e.Properties) > 200 {\n		e.Properties = \"\"\n	}\n"}},
	},
	{
		name: "numbers lose their digits", fault: "none", finds: "altered",
		patches: []patch{{"pkg/event/parse.go", "		*f.num(&p.cur.Event) = Number(raw)\n", "		*f.num(&p.cur.Event) = Number(strconv.FormatFloat(n, 'g', -1, 64))\n"}},
	},
	{
		name: "wrong clocks are believed", fault: "none", finds: "altered",
		patches: []patch{{"services/collector/internal/enrich/clock.go", "	if v.SentAt == 0 {\n", "	if v.SentAt >= 0 {\n"}},
	},
	{
		name: "what must be refused is taken", fault: "none", finds: "unexpected",
		patches: []patch{{intakeGo, "			answer.Rejected++\n			answer.Errors = append(answer.Errors, p.Problems...)\n			continue\n", "			p.Event.EventType += \"?\"\n"}},
	},
	{
		name: "the query service forgets a day's last event", fault: "none", finds: "query",
		patches: []patch{{"services/query/internal/report/stats.go", "		answer.Total += t.Count\n", "		answer.Total += t.Count - 1\n"}},
	},
}

// CONTROLS=all runs every one.
func TestTheCheckerFindsBrokenBuilds(t *testing.T) {
	all := os.Getenv("CONTROLS") == "all"
	for _, c := range controls {
		if !c.quick && !all {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := faultNamed(t, c.fault).run(t, 7, c.patches...)
			if r.broken(c.finds) == 0 {
				t.Errorf("under the fault %q the checker does not find %q broken, but %+v", c.fault, c.finds, r.Findings)
			}
		})
	}
}

// What the controls break must hold without them: the checker has to pass the
// whole build under each of their faults.
func TestTheCheckerPassesTheWholeBuild(t *testing.T) {
	if os.Getenv("CONTROLS") != "all" {
		t.Skip("skipped: TestFaults runs the same faults; CONTROLS=all runs those of all controls")
	}
	seen := map[string]bool{}
	for _, c := range controls {
		if seen[c.fault] {
			continue
		}
		seen[c.fault] = true
		t.Run(c.fault, func(t *testing.T) {
			if r := faultNamed(t, c.fault).run(t, 7); len(r.Findings) > 0 {
				t.Errorf("findings in the whole build: %+v", r.Findings)
			}
		})
	}
}

// Every patch is tried on the sources, whichever controls and faults run: one that
// no longer applies would be a test that tests nothing.
func TestPatchesApply(t *testing.T) {
	root := testenv.Root(t)
	for _, c := range controls {
		t.Run(c.name, func(t *testing.T) { overlay(t, root, t.TempDir()+"/patched", c.patches) })
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { overlay(t, root, t.TempDir()+"/patched", f.patches) })
	}
}

func faultNamed(t testing.TB, name string) *fault {
	t.Helper()
	var names []string
	for i := range faults {
		if faults[i].name == name {
			return &faults[i]
		}
		names = append(names, faults[i].name)
	}
	t.Fatalf("there is no fault %q; there are %s", name, strings.Join(names, ", "))
	return nil
}
