// Package receiver is the server that firings and events are sent to. It checks
// signatures by itself, writes down what comes before it answers, and answers
// as badly as it is told.
package receiver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"maidian-check/internal/traffic"
	"maidian-check/internal/watch"
)

// Arrival is one request.
type Arrival struct {
	At     int64         `json:"at"` // epoch milliseconds
	Path   string        `json:"path"`
	ID     string        `json:"id"`               // Webhook-Id
	Wrong  string        `json:"wrong,omitempty"`  // with the signature, or with what was signed
	Status int           `json:"status"`           // as answered; 0: the connection ended, or will, without a whole answer
	Firing *watch.Firing `json:"firing,omitempty"` // what was told
	Events []Event       `json:"events,omitempty"` // what was forwarded
}

// Event is one that was forwarded.
type Event struct {
	ID   string `json:"id"`
	Hash string `json:"hash"` // see Normal
}

// Receiver is the server.
type Receiver struct {
	Secrets []string
	Manner  string // file with a word of Manners; none, or an empty one: as well as it can

	mu  sync.Mutex
	log io.Writer
}

// New writes what arrives to the log.
func New(secrets []string, manner string, log io.Writer) *Receiver {
	return &Receiver{Secrets: secrets, Manner: manner, log: log}
}

// The ways to answer badly: the words that the file may hold.
const (
	Failing  = "500"
	TooMuch  = "429"   // with Retry-After
	Hanging  = "hang"  // no answer
	Cutting  = "cut"   // what came is taken, the connection ends without an answer
	Breaking = "break" // the connection is reset in the middle of the answer
	Any      = "any"   // one of all, for each request
)

var manners = []string{"", "", Failing, TooMuch, Hanging, Cutting, Breaking}

const mostBody = 8 << 20

// ServeHTTP takes one request. It is in the log before anybody is told that it was taken.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, mostBody))
	if err != nil {
		return // its sender has gone
	}
	a := r.understand(req, body)
	manner := r.manner()
	switch manner {
	case Failing, TooMuch:
		a.Status, _ = strconv.Atoi(manner)
	case Hanging, Cutting, Breaking:
	default:
		a.Status = http.StatusOK
	}
	if err := r.write(a); err != nil {
		fmt.Fprintln(os.Stderr, "maidian-check: write down what arrived:", err)
		a.Status = http.StatusInternalServerError
	}
	r.answer(w, req, manner, a.Status)
}

func (r *Receiver) manner() string {
	word, err := os.ReadFile(r.Manner)
	if err != nil {
		return ""
	}
	if m := strings.TrimSpace(string(word)); m != Any {
		return m
	}
	return manners[rand.IntN(len(manners))]
}

func (r *Receiver) answer(w http.ResponseWriter, req *http.Request, manner string, status int) {
	switch manner {
	case Hanging:
		<-req.Context().Done()
		return
	case Cutting, Breaking:
		hurt(w, manner)
		return
	case TooMuch:
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	fmt.Fprintln(w, "{}")
}

// hurt ends the connection under the answer.
func hurt(w http.ResponseWriter, manner string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	if tcp, ok := conn.(*net.TCPConn); ok && manner == Breaking {
		fmt.Fprint(tcp, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"half\":")
		_ = tcp.SetLinger(0) // the rest is a reset
	}
}

func (r *Receiver) write(a *Arrival) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.log.Write(append(line, '\n'))
	return err
}

// understand reads what was sent.
func (r *Receiver) understand(req *http.Request, body []byte) *Arrival {
	a := &Arrival{At: time.Now().UnixMilli(), Path: req.URL.Path, ID: req.Header.Get("Webhook-Id")}
	a.Wrong = r.unsigned(req.Header, body)
	var err error
	if strings.HasPrefix(a.Path, watch.Told) {
		var told struct{ Data *watch.Firing }
		err = json.Unmarshal(body, &told)
		a.Firing = told.Data
	} else {
		a.Events, err = events(body)
	}
	if err != nil && a.Wrong == "" {
		a.Wrong = "it cannot be read: " + err.Error()
	}
	return a
}

func events(body []byte) (all []Event, err error) {
	var sent struct{ Events []json.RawMessage }
	if err := json.Unmarshal(body, &sent); err != nil {
		return nil, err
	}
	for _, text := range sent.Events {
		fields, err := Normal(text)
		if err != nil {
			return nil, err
		}
		id, _ := fields["event_id"].(string)
		all = append(all, Event{id, traffic.Hash(fields)})
	}
	return all, nil
}

// tolerance is how far a sender's clock may be off.
const tolerance = 5 * time.Minute

// unsigned says what is wrong with a signature: it must be made with every
// secret, over id, time and body.
func (r *Receiver) unsigned(h http.Header, body []byte) string {
	id, at := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if since := time.Since(time.Unix(seconds, 0)); id == "" || err != nil || since > tolerance || since < -tolerance {
		return fmt.Sprintf("its id is %q, its time %q", id, at)
	}
	given := strings.Fields(h.Get("Webhook-Signature"))
	for i, secret := range r.Secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(body)
		if !slices.Contains(given, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))) {
			return fmt.Sprintf("it is not signed with secret %d of %d", i+1, len(r.Secrets))
		}
	}
	return ""
}

// moments are the fields that are sent as text and stored as numbers.
var moments = []string{"timestamp", "client_timestamp", "received_at", "stored_at"}

// Normal is an event that was forwarded as one is stored.
func Normal(text []byte) (map[string]any, error) {
	fields, err := traffic.Decode(text)
	if err != nil {
		return nil, err
	}
	for _, name := range moments {
		if at, ok := fields[name].(string); ok {
			t, err := time.Parse(time.RFC3339Nano, at)
			if err != nil {
				return nil, err
			}
			fields[name] = json.Number(strconv.FormatInt(t.UnixMilli(), 10))
		}
	}
	if fields["is_bot"] == false { // not stored when it is so
		delete(fields, "is_bot")
	}
	return fields, nil
}

// Read reads a log. A last line that was cut off was never answered.
func Read(path string) (all []Arrival, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read what arrived: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var a Arrival
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return nil, fmt.Errorf("read what arrived: %w in %.100s", err, line)
		}
		all = append(all, a)
	}
	return all, nil
}
