package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/consumer/internal/outgoing"
)

// startPostgres runs a server of this test alone and returns its address.
func startPostgres(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("PostgreSQL is not installed")
		}
		t.Skip("PostgreSQL is not installed")
	}
	bin := found[len(found)-1]
	folder, err := os.MkdirTemp("", "postgres") // t.TempDir lies in one that others may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	run := func(name string, args ...string) *exec.Cmd {
		command := exec.Command(filepath.Join(bin, name), args...)
		command.Dir = folder
		asAnother(t, command, folder)
		return command
	}
	data := filepath.Join(folder, "data")
	if err := run("initdb", "-D", data, "-U", "me", "--auth=trust", "--no-sync", "--encoding=UTF8").Run(); err != nil {
		t.Fatal(err)
	}
	server := run("postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "logging_collector=off", "-c", "log_min_messages=fatal")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	})
	return "postgres:///postgres?user=me&host=" + folder
}

// asAnother has a command run by the user postgres: the server will not be root.
func asAnother(t *testing.T, command *exec.Cmd, folder string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	other, err := user.Lookup("postgres")
	if err != nil {
		t.Skip("there is no user postgres, and the server will not be root")
	}
	uid, _ := strconv.Atoi(other.Uid)
	gid, _ := strconv.Atoi(other.Gid)
	if err := os.Chown(folder, uid, gid); err != nil {
		t.Fatal(err)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// connect waits until the server answers.
func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; <-tick.C {
		c, err := pgx.Connect(t.Context(), address)
		if err == nil {
			t.Cleanup(func() { c.Close(context.Background()) })
			return c
		}
		if time.Since(begun) > time.Minute {
			t.Fatal(err)
		}
	}
}

func TestPostgresTakesEachEventOnce(t *testing.T) {
	address := startPostgres(t)
	db := connect(t, address)
	_, err := db.Exec(t.Context(), `CREATE TABLE events (event_id text PRIMARY KEY, at timestamptz, is_bot boolean, scroll_depth double precision,
		properties jsonb, cost int CHECK (cost < 4), loaded timestamptz NOT NULL DEFAULT now())`)
	if err != nil {
		t.Fatal(err)
	}
	to := target(t, Env{}, fmt.Sprintf(`{"id":"p","type":"postgres","settings":{"url":%q,"table":"events"},"rename":{"timestamp":"at","properties.amount":"cost"}}`, address))
	b := batchOf(t, to, "b", someEvents()[:4]...)
	for range 2 {
		if err := to.Send(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	var rows, cost int
	var at time.Time
	var plan string
	if err := db.QueryRow(t.Context(), `SELECT count(*), sum(cost), max(at), max(properties->>'plan') FROM events`).Scan(&rows, &cost, &at, &plan); err != nil {
		t.Fatal(err)
	}
	if rows != 4 || cost != 6 || plan != "pro" || event.TimeOf(at) != newYear+60*60*1000 {
		t.Errorf("got %d rows, cost %d, %s, %s", rows, cost, at, plan)
	}
	if err := to.Send(t.Context(), batchOf(t, to, "b", someEvents()[4])); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a row against the table's condition: got %v, want it refused", err)
	}
	wrong := someEvents()[0]
	wrong.EventID, wrong.Properties = "e9", `{"amount":"much"}`
	if err := to.Send(t.Context(), batchOf(t, to, "b", wrong)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a text in a column of numbers: got %v, want it refused", err)
	}
	if _, err := db.Exec(t.Context(), `DROP TABLE events`); err != nil {
		t.Fatal(err)
	}
	if err := to.Send(t.Context(), b); err == nil || fault.KindOf(err) == fault.Invalid {
		t.Errorf("the table is gone: got %v, want an error that can be put right", err)
	}
}

func TestKafkaKeepsEachUsersOrder(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(4, "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	to := target(t, Env{}, fmt.Sprintf(`{"id":"k","type":"kafka","settings":{"brokers":[%q],"topic":"events"}}`, cluster.ListenAddrs()[0]))
	var events []event.Event
	want := map[string]string{}
	for i := range 200 {
		e := event.Event{EventID: fmt.Sprint("e", i), EventType: "click", UserID: fmt.Sprint("user-", i%9), Timestamp: newYear}
		want[e.UserID] += e.EventID + " "
		events = append(events, e)
	}
	b := batchOf(t, to, "b", events...)
	if err := to.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if left := b.whatIsOpen(); len(left.Items) > 0 {
		t.Errorf("%d events are still open", len(left.Items))
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("events"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	got := map[string]string{}
	for n := 0; n < len(events); {
		fetched := reader.PollFetches(t.Context())
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			n++
			got[string(r.Key)] += string(r.Headers[0].Value) + " "
		})
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestKafkaThatIsAwayIsTriedAgain(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))
	if err != nil {
		t.Fatal(err)
	}
	to := target(t, Env{}, fmt.Sprintf(`{"id":"k","type":"kafka","settings":{"brokers":[%q],"topic":"events"}}`, cluster.ListenAddrs()[0]))
	cluster.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	b := batchOf(t, to, "b", someEvents()...)
	if err := to.Send(ctx, b); err == nil || fault.KindOf(err) == fault.Invalid || len(b.whatIsOpen().Items) != 5 {
		t.Errorf("the cluster is away: got %v with %d open, want an error that can be put right, and all open", err, len(b.whatIsOpen().Items))
	}
}

// TestClickHouseInserts holds what is asked to the documentation of versions
// that know deduplication tokens.
func TestClickHouseInserts(t *testing.T) {
	var rows []string
	answer := 200
	env, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.Header.Get("X-ClickHouse-User") != "default" || r.Header.Get("X-ClickHouse-Key") != "pass" {
			http.Error(w, "Code: 516. DB::Exception: Authentication failed", http.StatusForbidden)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if strings.HasPrefix(string(body), "SELECT name FROM system.settings") {
			fmt.Fprintln(w, "insert_deduplication_token\nasync_insert")
			return
		}
		if q.Get("query") != "INSERT INTO `web`.`events` FORMAT JSONEachRow" || q.Get("insert_deduplication_token") != "batch-1" || q.Get("wait_end_of_query") != "1" ||
			q.Get("async_insert") != "0" || q.Has("input_format_skip_unknown_fields") {
			t.Errorf("asked with %s", r.URL.RawQuery)
		}
		if answer != 200 {
			http.Error(w, "Code: "+fmt.Sprint(answer)+". DB::Exception: so it is", http.StatusBadRequest)
			return
		}
		rows = append(rows, strings.Split(strings.TrimSpace(string(body)), "\n")...)
	})
	to := target(t, env, fmt.Sprintf(`{"id":"c","type":"clickhouse","settings":{"url":%q,"database":"web","table":"events","password":"pass"},"fields":["event_id"]}`, url))
	if err := to.Send(t.Context(), batchOf(t, to, "batch-1", someEvents()...)); err != nil || len(rows) != 5 || rows[0] != `{"event_id":"e0"}` {
		t.Errorf("got %v, %v", rows, err)
	}
	for code, want := range map[int]fault.Kind{27: fault.Invalid, 60: fault.Unavailable, 62: fault.Unavailable, 241: fault.Unavailable} {
		answer = code
		err := to.Send(t.Context(), batchOf(t, to, "batch-1", someEvents()...))
		if e := (*fault.Error)(nil); !errors.As(err, &e) || e.Kind != want {
			t.Errorf("code %d: got %v, want kind %d", code, err, want)
		}
	}
}

// TestNobodyNearIsReachedWithoutLeave has servers on this machine, which the
// guard keeps from destinations unless its network is opened.
func TestNobodyNearIsReachedWithoutLeave(t *testing.T) {
	var reached atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	t.Setenv("CREDENTIAL_A", "a")
	for name, definition := range map[string]string{
		"clickhouse": fmt.Sprintf(`{"id":"c","type":"clickhouse","settings":{"url":%q,"table":"events"}}`, server.URL),
		"s3":         fmt.Sprintf(`{"id":"s","type":"s3","settings":{"endpoint":%q,"insecure":true,"bucket":"events","access_key":"a","secret_key":"b"}}`, address),
		"postgres":   fmt.Sprintf(`{"id":"p","type":"postgres","settings":{"url":"postgres://u@%s/d?sslmode=disable","table":"t"}}`, address),
		"a socket":   `{"id":"p","type":"postgres","settings":{"url":"postgres:///d?host=/tmp","table":"t"}}`,
		"kafka":      fmt.Sprintf(`{"id":"k","type":"kafka","settings":{"brokers":[%q],"topic":"t"}}`, address),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			d, err := destination.Read([]byte(definition))
			if err != nil {
				t.Fatal(err)
			}
			to, err := open(ctx, &opening{Env{Dial: outgoing.Near(nil, "FORWARD_ALLOW_NETWORKS").Dial}, "demo", d})
			if err == nil {
				defer to.Close()
				err = to.Send(ctx, batchOf(t, to, "b", someEvents()...))
			}
			if err == nil || reached.Load() {
				t.Errorf("got %v, and the server was reached: %t", err, reached.Load())
			}
			if name != "kafka" && !strings.Contains(fmt.Sprint(err), "FORWARD_ALLOW_NETWORKS") && name != "a socket" {
				t.Errorf("got %v, want the setting that would allow it", err)
			}
		})
	}
	d, err := destination.Read([]byte(fmt.Sprintf(`{"id":"c","type":"clickhouse","settings":{"url":%q,"table":"events"}}`, server.URL)))
	if err != nil {
		t.Fatal(err)
	}
	to, err := open(t.Context(), &opening{Env{Dial: outgoing.Near([]string{"127.0.0.0/8"}, "").Dial}, "demo", d})
	if err == nil {
		err = to.Send(t.Context(), batchOf(t, to, "b", someEvents()...))
	}
	if err != nil || !reached.Load() {
		t.Errorf("its network is open: got %v, and the server was reached: %t", err, reached.Load())
	}
}
