package allinone_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
)

// inbox is a system of others that is told by signed webhooks. It checks what it
// gets as its makers would who have read the Standard Webhooks specification.
type inbox struct {
	*httptest.Server
	key []byte

	mu     sync.Mutex
	told   map[string]told // by webhook-id
	wrong  []string
	answer time.Duration // how long it takes
}

type told struct {
	Type string
	Data rule.Firing
	at   time.Time // when it came first
}

// newInbox takes webhooks for the secret in CREDENTIAL_INBOX.
func newInbox(t testing.TB) *inbox {
	b := &inbox{key: []byte("a key that both of them know"), told: map[string]told{}}
	t.Setenv("CREDENTIAL_INBOX", "whsec_"+base64.StdEncoding.EncodeToString(b.key))
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, wrong := range b.wrong {
			t.Error(wrong)
		}
	})
	return b
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	came := time.Now()
	if err == nil {
		err = b.verify(r.Header, body, came)
	}
	var message told
	if err == nil {
		err = json.Unmarshal(body, &message)
	}
	proc.Pause(r.Context(), b.answer)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.wrong = append(b.wrong, fmt.Sprintf("a webhook is wrong: %v in %s", err, body))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id := r.Header.Get("webhook-id")
	if _, again := b.told[id]; !again {
		message.at = came
		b.told[id] = message
	}
	w.WriteHeader(http.StatusNoContent)
}

func (b *inbox) verify(h http.Header, body []byte, now time.Time) error {
	id, at := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return fmt.Errorf("its time is %q", at)
	}
	mac := hmac.New(sha256.New, b.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	for signature := range strings.FieldsSeq(h.Get("webhook-signature")) {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "v1,"))
		if err == nil && hmac.Equal(raw, mac.Sum(nil)) {
			return nil
		}
	}
	return fmt.Errorf("no signature of %q fits", h.Get("webhook-signature"))
}

// messages are what has come until now, the same one once, in words.
func (b *inbox) messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for m := range maps.Values(b.told) {
		text := m.Data.Rule + " " + m.Type
		if m.Data.Event != nil {
			text += " " + m.Data.Event.EventID
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// await waits for these messages, and wants no others.
func (b *inbox) await(t testing.TB, want ...string) {
	t.Helper()
	slices.Sort(want)
	eventually(t, fmt.Sprintf("to be told %q", want), func() bool { return len(b.messages()) >= len(want) })
	if got := b.messages(); !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
}

// reach lets a system speak to servers on this machine.
func (b *inbox) reach(t testing.TB, c *allinone.Config) {
	address, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	out := &c.Consumer.Outgoing
	out.AllowHTTP, out.Ports, out.Networks = true, append(out.Ports, port), []string{"127.0.0.0/8"}
}

// watch has a system tell an inbox what some rules say, and waits until they are evaluated.
func (s *system) watch(channel string, b *inbox, rules ...map[string]any) {
	s.t.Helper()
	admin := s.query + "/api/v1/admin/projects/" + allinone.DemoProject
	definition := map[string]any{
		"id": channel, "type": "webhook", "settings": map[string]any{"url": b.URL}, "secrets": map[string]any{"secret": map[string]any{"env": "CREDENTIAL_INBOX"}},
	}
	if status := s.call(http.MethodPost, admin+"/channels", allinone.DemoAdminKey, definition, nil); status != http.StatusCreated {
		s.t.Fatalf("create channel %s: got %d", channel, status)
	}
	for _, r := range rules {
		r["channels"] = []string{channel}
		if status := s.call(http.MethodPost, admin+"/rules", allinone.DemoAdminKey, r, nil); status != http.StatusCreated {
			s.t.Fatalf("create rule %v: got %d", r["id"], status)
		}
	}
	eventually(s.t, "the rules to be evaluated", func() bool {
		health := s.health().Rules
		return !slices.ContainsFunc(rules, func(r map[string]any) bool { _, there := health[r["id"].(string)]; return !there })
	})
}

// health is how the rules of the demo project are.
func (s *system) health() (status rule.Status) {
	s.t.Helper()
	if r, err := s.Store.Record(s.t.Context(), rule.StatusKind, allinone.DemoProject, rule.StatusID); err == nil {
		if err := json.Unmarshal(r.Data, &status); err != nil {
			s.t.Fatal(err)
		}
	}
	return status
}

var (
	largePurchases = map[string]any{"id": "large", "kind": "event", "severity": "critical", "event": map[string]any{
		"event": "purchase", "filters": []map[string]any{{"property": "amount", "op": "gte", "value": 10000}},
	}}
	manyErrors = map[string]any{"id": "errors", "kind": "threshold", "event": "error", "op": "gte", "value": 3, "window": "3s", "grace": "1s"}
)

func purchase(id string, amount int) map[string]any {
	return map[string]any{"event_type": "purchase", "event_id": id, "user_id": "ada", "properties": map[string]any{"order_id": id, "amount": amount}}
}

func failure(id string) map[string]any {
	return map[string]any{"event_type": "error", "event_id": id, "user_id": "ada", "properties": map[string]any{"message": "out of paper"}}
}

// What is sent to the collector makes a signed webhook at the receiver, once,
// though the system is stopped and started in the middle of it: before what was
// accepted last is told, and between an alarm and its end.
func TestPeopleAreToldOfWhatIsSent(t *testing.T) {
	for name, use := range map[string]func(*allinone.Config){
		"JetStream and SQLite": func(*allinone.Config) {},
		"RabbitMQ and MongoDB": func(c *allinone.Config) {
			c.UseRabbit, c.Rabbit.URL, c.Rabbit.Queue = true, sharedRabbit.Node(t).URL(), testenv.QueueName(t)
			c.UseMongo, c.Mongo.URI = true, testenv.StartFerretDB(t).URI()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, c := newInbox(t), config(t)
			use(c)
			b.reach(t, c)
			s := start(t, c)
			s.watch("ops", b, maps.Clone(largePurchases), maps.Clone(manyErrors))

			s.send(allinone.DemoWriteKey, purchase("a", 9_999), purchase("b", 10_000))
			s.send(allinone.DemoWriteKey, failure("1"), failure("2"), failure("3"), failure("4"))
			b.await(t, "large alert.firing b", "errors alert.firing")
			s.send(allinone.DemoWriteKey, purchase("c", 12_000))
			s.stop()

			again := *c
			s = start(t, &again)
			s.send(allinone.DemoWriteKey, purchase("b", 10_000), purchase("d", 3), purchase("e", 10_001)) // b is known
			b.await(t, "large alert.firing b", "large alert.firing c", "large alert.firing e", "errors alert.firing", "errors alert.recovered")
		})
	}
}

// Of two consumers one watches. It is killed between two of many alerts, and
// the other goes on: each is told, and none is made twice.
func TestWhenTheOneWhoWatchesIsKilledTheOtherGoesOn(t *testing.T) {
	b, c := newInbox(t), config(t)
	c.UseMongo, c.Mongo.URI = true, testenv.StartFerretDB(t).URI()
	c.Consumer.Roles = []string{"store"}
	b.reach(t, c)
	s := start(t, c)
	first := watcher(t, c)
	s.watch("ops", b, maps.Clone(largePurchases), maps.Clone(manyErrors))
	watcher(t, c)

	s.send(allinone.DemoWriteKey, failure("1"), failure("2"), failure("3"))
	b.await(t, "errors alert.firing")
	want := []string{"errors alert.firing", "errors alert.recovered"}
	for i := range 20 {
		if i == 10 {
			if err := first.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		id := fmt.Sprint("p", i)
		s.send(allinone.DemoWriteKey, purchase(id, 10_000))
		want = append(want, "large alert.firing "+id)
	}
	b.await(t, want...)
	made := map[string]int{}
	if err := store.EachRecord(t.Context(), s.Store, rule.FiringKind, allinone.DemoProject, func(r *store.Record) error {
		var f rule.Firing
		err := json.Unmarshal(r.Data, &f)
		made[f.Rule+" "+f.State]++
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(made); got != "map[errors firing:1 errors recovered:1 large firing:20]" {
		t.Errorf("firings made: %s", got)
	}
}

// watcher is a consumer in its alert role, a process of its own on a system's store.
func watcher(t *testing.T, c *allinone.Config) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := exec.Command(self)
	p.Env = append(os.Environ(), asConsumer+"=1", "CONSUMER_ROLES=alert", "OPS_LISTEN=127.0.0.1:0", "LOG_LEVEL=error",
		"MONGODB_URI="+c.Mongo.URI, "MONGODB_DATABASE="+c.Mongo.Database,
		"OUTGOING_ALLOW_HTTP=true", "OUTGOING_ALLOW_NETWORKS=127.0.0.0/8", "OUTGOING_PORTS="+strings.Trim(strings.Join(strings.Fields(fmt.Sprint(c.Consumer.Outgoing.Ports)), ","), "[]"))
	p.Stderr = os.Stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill() // it may have been already
		_ = p.Wait()
	})
	return p
}
