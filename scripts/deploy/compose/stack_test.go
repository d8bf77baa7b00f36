package compose

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/maidian/maidian/pkg/testenv"
)

// The services run with the very variables and secrets of compose.yaml, only
// that broker and store are this machine's: as containers of the images whose
// tag is TEST_IMAGES, confined as the file says, else as processes.
func TestStack(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs every service")
	}
	s := newStack(t)
	for _, service := range s.project.Services {
		if program(service) != "" {
			s.start(t, service)
		}
	}
	for _, c := range s.running {
		c.isReady(t)
		c.isConfined(t)
	}
	keys := s.makeProject(t)
	s.takes(t, keys, `{"event_id":"before","event_type":"page_view","user_id":"ann"}`)
	s.answersWith(t, keys, "before")

	s.stopsWhileTaking(t, keys, `{"event_id":"meanwhile","event_type":"page_view","user_id":"ann"}`)
	s.answersWith(t, keys, "meanwhile")

	for _, c := range s.running {
		c.signal(t)
	}
	for _, c := range s.running {
		c.ended(t)
	}
}

type stack struct {
	project *types.Project
	secrets string // folder
	tag     string // of the images; "" for processes
	bin     string // folder of the programs, for processes
	running map[string]*container
}

func newStack(t *testing.T) *stack {
	broker, store := testenv.StartRabbit(t), testenv.StartFerretDB(t)
	s := &stack{secrets: secrets(t), tag: os.Getenv("TEST_IMAGES"), running: map[string]*container{}}
	if s.tag == "" {
		s.bin = programs(t)
	}
	for name, content := range map[string]string{"rabbitmq-url": broker.URL(), "mongodb-uri": store.URI()} {
		if err := os.WriteFile(filepath.Join(s.secrets, name), []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.project = load(t, "SECRETS="+s.secrets, "CREDENTIALS="+t.TempDir())
	return s
}

func (s *stack) start(t *testing.T, service types.ServiceConfig) {
	c := &container{name: service.Name, env: map[string]string{"OPS_LISTEN": free(t)}}
	for name, value := range service.Environment {
		c.env[name] = *value
	}
	delete(c.env, "RABBITMQ_MANAGEMENT_URL_FILE") // the test's broker has no such plugin
	for _, name := range []string{"COLLECTOR_LISTEN", "QUERY_LISTEN"} {
		if c.env[name] != "" {
			c.public = free(t)
			c.env[name] = c.public
		}
	}
	if s.tag != "" {
		c.inContainer(s.tag, service, s.project)
	} else {
		c.asProcess(s.bin, service, s.project)
	}
	c.run(t)
	s.running[service.Name] = c
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

type keys struct {
	Write string `json:"write_key"`
	Read  string `json:"read_key"`
}

func (s *stack) makeProject(t *testing.T) (k keys) {
	admin, err := os.ReadFile(filepath.Join(s.secrets, "admin-key"))
	if err != nil {
		t.Fatal(err)
	}
	status, body := ask(t, "POST", "http://"+s.running["query"].public+"/api/v1/admin/projects", strings.TrimSpace(string(admin)), `{"id":"shop","name":"Shop"}`)
	if err := json.Unmarshal([]byte(body), &k); err != nil || k.Write == "" {
		t.Fatalf("no project: %d %s", status, body)
	}
	return k
}

func (s *stack) track() string {
	return "http://" + s.running["collector"].public + "/api/v1/analytics/track"
}

// takes: the key is new to the collector, which reads keys every now and then.
func (s *stack) takes(t *testing.T, k keys, event string) {
	eventually(t, "the event is accepted", func() error {
		if status, body := ask(t, "POST", s.track(), k.Write, event); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
}

func (s *stack) answersWith(t *testing.T, k keys, id string) {
	eventually(t, "the event is stored and found", func() error {
		status, body := ask(t, "GET", "http://"+s.running["query"].public+"/api/v1/analytics/events", k.Read, "")
		if !strings.Contains(body, `"`+id+`"`) {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
}

// stopsWhileTaking tells the collector to stop when it waits for the body of a
// request, and sends the body once nobody can connect any more.
func (s *stack) stopsWhileTaking(t *testing.T, k keys, event string) {
	collector := s.running["collector"]
	conn, err := net.Dial("tcp", collector.public)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/analytics/track HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", k.Write, len(event))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); !strings.Contains(line, "100 Continue") {
		t.Fatalf("got %q, %v, want to be asked for the body", line, err)
	}
	_, _ = answers.ReadString('\n')
	collector.signal(t)
	eventually(t, "the collector lets nobody in", func() error {
		c, err := net.Dial("tcp", collector.public)
		if err != nil {
			return nil
		}
		c.Close()
		return fmt.Errorf("it still does")
	})
	io.WriteString(conn, event)
	answer, err := http.ReadResponse(answers, nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the request that was under way: %v, %v", answer, err)
	}
	answer.Body.Close()
	conn.Close()
	collector.ended(t)
	delete(s.running, "collector")
}

func ask(t *testing.T, method, url, key, body string) (status int, answer string) {
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", key)
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer a.Body.Close()
	content, _ := io.ReadAll(a.Body)
	return a.StatusCode, string(content)
}

// eventually waits until try finds nothing wrong any more.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	tick, end := time.NewTicker(50*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within a minute: %s: %v", what, err)
		}
	}
}
