package receiver

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"maidian-check/internal/traffic"
)

var secrets = []string{"old secret", "new secret"}

// signed is a request as Standard Webhooks 1.0.0 wants it.
func signed(t *testing.T, url, body string, at time.Time, keys ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, []byte(key))
		fmt.Fprintf(mac, "msg_1.%d.%s", at.Unix(), body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	req.Header.Set("webhook-id", "msg_1")
	req.Header.Set("webhook-timestamp", fmt.Sprint(at.Unix()))
	req.Header.Set("webhook-signature", strings.Join(all, " "))
	return req
}

func TestSignaturesAreChecked(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		change func(*http.Request)
		at     time.Time
		keys   []string
		wrong  string
	}{
		"by both secrets":    {nil, now, secrets, ""},
		"by one of them":     {nil, now, secrets[:1], "secret 2 of 2"},
		"by another":         {nil, now, []string{"old secret", "guessed"}, "secret 2 of 2"},
		"by none":            {nil, now, nil, "secret 1 of 2"},
		"of another id":      {func(r *http.Request) { r.Header.Set("webhook-id", "msg_2") }, now, secrets, "secret 1 of 2"},
		"of another time":    {func(r *http.Request) { r.Header.Set("webhook-timestamp", fmt.Sprint(now.Unix()-1)) }, now, secrets, "secret 1 of 2"},
		"of another body":    {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"events":[ ]}`)) }, now, secrets, "secret 1 of 2"},
		"too long ago":       {nil, now.Add(-time.Hour), secrets, "its time"},
		"without an id":      {func(r *http.Request) { r.Header.Del("webhook-id") }, now, secrets, "its id"},
		"of what is no JSON": {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{`)) }, now, secrets, "secret 1 of 2"},
		"of no time":         {func(r *http.Request) { r.Header.Del("webhook-timestamp") }, now, secrets, "its time"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			r := New(secrets, "", &log)
			req := signed(t, "/forwarded/p", `{"events":[]}`, tt.at, tt.keys...)
			if tt.change != nil {
				tt.change(req)
			}
			r.ServeHTTP(httptest.NewRecorder(), req)
			var a Arrival
			if err := json.Unmarshal(log.Bytes(), &a); err != nil {
				t.Fatalf("%v in %s", err, log.String())
			}
			if (a.Wrong == "") != (tt.wrong == "") || !strings.Contains(a.Wrong, tt.wrong) {
				t.Errorf("got %q, want %q", a.Wrong, tt.wrong)
			}
		})
	}
}

func TestTheReceiverAnswersAsBadlyAsItIsTold(t *testing.T) {
	manner, path := filepath.Join(t.TempDir(), "manner"), filepath.Join(t.TempDir(), "arrivals")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := httptest.NewServer(New(secrets, manner, log))
	defer server.Close()
	client := &http.Client{Timeout: 200 * time.Millisecond}
	for word, want := range map[string]string{
		"": "200 {}\n", Failing: "500 {}\n", TooMuch: "429 {}\n", Hanging: "Client.Timeout", Cutting: "EOF", Breaking: "reset by peer",
	} {
		if err := os.WriteFile(manner, []byte(word+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"events":[{"event_id":%q}]}`, "of "+word)
		res, err := client.Do(signed(t, server.URL+"/forwarded/p", body, time.Now(), secrets...))
		got := fmt.Sprint(err)
		if err == nil {
			text, err := io.ReadAll(res.Body)
			res.Body.Close()
			if got = fmt.Sprintf("%d %s", res.StatusCode, text); err != nil {
				got = err.Error()
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
		all, err := Read(path)
		if err != nil || len(all) == 0 {
			t.Fatalf("%q: %v, %d arrivals", word, err, len(all))
		}
		last := all[len(all)-1]
		if taken := word == ""; last.Events[0].ID != "of "+word || (last.Status == 200) != taken || last.Wrong != "" {
			t.Errorf("%q: got %+v", word, last)
		}
	}
}

func TestALineThatWasCutOffIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "arrivals")
	if err := os.WriteFile(path, []byte("{\"path\":\"/a\",\"status\":200}\n{\"path\":\"/b\",\"sta"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := Read(path); err != nil || len(all) != 1 || all[0].Path != "/a" {
		t.Errorf("got %+v, %v", all, err)
	}
}

func TestAnEventIsTheSameForwardedAndStored(t *testing.T) {
	forwarded, err := Normal([]byte(`{"properties":{"b":1.50,"a":[]},"event_id":"e","timestamp":"2026-01-31T09:00:00.007Z","is_bot":false}`))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := traffic.Decode([]byte(`{"event_id":"e","timestamp":1769850000007,"properties":{"a":[],"b":1.50}}`))
	if err != nil {
		t.Fatal(err)
	}
	if traffic.Hash(forwarded) != traffic.Hash(stored) {
		t.Errorf("got %v, want %v", forwarded, stored)
	}
	if _, err := Normal([]byte(`{"timestamp":"yesterday"}`)); err == nil {
		t.Error("a time that is none was read")
	}
}
