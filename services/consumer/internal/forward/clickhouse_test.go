package forward

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

// clickhouseConfig is of a server that is this test's alone.
const clickhouseConfig = `<yandex>
<logger><level>error</level><log>%[1]s/log</log><errorlog>%[1]s/errors</errorlog></logger>
<listen_host>127.0.0.1</listen_host><http_port>%[2]d</http_port>
<path>%[1]s/data/</path><tmp_path>%[1]s/tmp/</tmp_path><user_files_path>%[1]s/files/</user_files_path>
<mark_cache_size>10000000</mark_cache_size><uncompressed_cache_size>0</uncompressed_cache_size>
<users_config>%[1]s/config.xml</users_config><default_profile>default</default_profile><default_database>default</default_database>
<profiles><default/></profiles><quotas><default/></quotas>
<users><default><password>pass</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
</yandex>`

// clickhouseServer is the one that scripts/need installs: old, but not ours.
type clickhouseServer struct {
	t   *testing.T
	url string
}

func startClickHouse(t *testing.T) *clickhouseServer {
	t.Helper()
	program, err := exec.LookPath("clickhouse-server")
	if err != nil {
		program = "/usr/sbin/clickhouse-server"
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("clickhouse-server is not installed")
		}
		t.Skip("clickhouse-server is not installed")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port, folder := free.Addr().(*net.TCPAddr).Port, t.TempDir()
	free.Close()
	config := filepath.Join(folder, "config.xml")
	if err := os.WriteFile(config, fmt.Appendf(nil, clickhouseConfig, folder, port), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(program, "--config-file="+config)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	s := &clickhouseServer{t, fmt.Sprintf("http://127.0.0.1:%d/", port)}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; <-tick.C {
		if answer, err := http.Get(s.url + "ping"); err == nil {
			answer.Body.Close()
			return s
		}
		if time.Since(begun) > time.Minute {
			t.Fatal("clickhouse-server does not answer")
		}
	}
}

// ask has it do a statement and returns what it says.
func (s *clickhouseServer) ask(statement string) string {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url, strings.NewReader(statement))
	if err != nil {
		s.t.Fatal(err)
	}
	r.SetBasicAuth("default", "pass")
	answer, err := request(http.DefaultClient, r)
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	return strings.TrimSpace(string(answer))
}

const eventsInClickHouse = `CREATE TABLE events (event_id String, event_type String, user_id Nullable(String), timestamp DateTime, is_bot UInt8, amount Nullable(Float64))
	ENGINE = ReplacingMergeTree ORDER BY event_id`

func TestAClickHouseServerTakesEvents(t *testing.T) {
	server := startClickHouse(t)
	server.ask(eventsInClickHouse)
	definition := fmt.Sprintf(`{"id":"c","type":"clickhouse","settings":{"url":%q,"table":"events","password":"pass"},
		"fields":["event_id","event_type","user_id","timestamp","is_bot","page_url","properties.amount"]}`, server.url)
	to := target(t, Env{}, definition)
	b := batchOf(t, to, "b", someEvents()...)
	for range 2 {
		if err := to.Send(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	server.ask("OPTIMIZE TABLE events FINAL")
	if got := server.ask("SELECT count(), uniq(event_id), sum(amount), toUnixTimestamp(min(timestamp)) FROM events"); got != fmt.Sprintf("5\t5\t10\t%d", newYear/1000) {
		t.Errorf("got %q", got)
	}
	wrong := someEvents()[0]
	wrong.EventID, wrong.Properties = "e9", `{"amount":"much"}`
	if err := to.Send(t.Context(), batchOf(t, to, "b", wrong)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a text in a column of numbers: got %v, want it refused", err)
	}
	server.ask("DROP TABLE events")
	if err := to.Send(t.Context(), b); err == nil || fault.KindOf(err) == fault.Invalid {
		t.Errorf("the table is gone: got %v, want an error that can be put right", err)
	}
	if err := target(t, Env{}, strings.Replace(definition, `"pass"`, `"other"`, 1)).Send(t.Context(), b); err == nil || fault.KindOf(err) == fault.Invalid {
		t.Errorf("a wrong password: got %v, want an error that can be put right", err)
	}
}

// TestForwardingToAClickHouseServer has a row that it refuses among others, and
// a table that comes only later.
func TestForwardingToAClickHouseServer(t *testing.T) {
	server := startClickHouse(t)
	s := openStore(t)
	w := newWriter(s)
	var opened atomic.Int32
	define(t, s, fmt.Sprintf(`{"id":"fake","type":"clickhouse","settings":{"url":%q,"table":"events","password":{"env":"CREDENTIAL_CLICKHOUSE"},"batch":40},
		"fields":["event_id","event_type","user_id","timestamp","is_bot","properties.amount"]}`, server.url), nil)
	t.Setenv("CREDENTIAL_CLICKHOUSE", "pass")
	defer runWith(t, s, "one", func(o *opening) (Target, error) {
		opened.Add(1)
		return open(t.Context(), o)
	})()
	for i := range 10 {
		w.batch(t, 30, func(j int, e *event.Event) {
			e.Properties = `{"amount":1}`
			if i == 5 && j == 7 {
				e.Properties = `{"amount":"much"}`
			}
		})
	}
	waitForState(t, s, "fake", func(s *destination.State) bool { return s.Failures > worthTelling })
	server.ask(eventsInClickHouse)
	waitForState(t, s, "fake", func(s *destination.State) bool { return s.Sent == 299 && s.Refused == 1 && s.WaitingAt == 0 })
	if got := server.ask("SELECT uniq(event_id), sum(amount) FROM events FINAL"); got != "299\t299" {
		t.Errorf("got %q, want all but one", got)
	}
	if reasons := letters(t, s); !strings.Contains(reasons[w.written[5*30+7]], "much") {
		t.Errorf("got the letters %v", reasons)
	}
	if opened.Load() < 2 {
		t.Error("a target that fails again and again was not opened anew")
	}
}
