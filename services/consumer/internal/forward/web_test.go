package forward

import (
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

// serve answers with what a handler says.
func serve(t testing.TB, handle http.HandlerFunc) (Env, string) {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return Env{Web: server.Client()}, server.URL
}

func TestAWebhookIsSigned(t *testing.T) {
	var got []string
	env, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, key := range []string{"new", "old"} {
			mac := hmac.New(sha256.New, []byte(key))
			fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
			if !strings.Contains(r.Header.Get("Webhook-Signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))) {
				t.Errorf("the signature by %q is missing in %q", key, r.Header.Get("Webhook-Signature"))
			}
		}
		var sent struct {
			ID     string
			Events []struct {
				EventID string `json:"event_id"`
			}
		}
		if err := json.Unmarshal(body, &sent); err != nil || sent.ID != r.Header.Get("Webhook-Id") {
			t.Errorf("%s: %v", body, err)
		}
		for _, e := range sent.Events {
			got = append(got, e.EventID)
		}
	})
	to := target(t, env, fmt.Sprintf(`{"id":"w","type":"webhook","settings":{"url":%q,"secrets":["new","old"]}}`, url))
	if err := to.Send(t.Context(), batchOf(t, to, "batch-1", someEvents()...)); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, " ") != "e0 e1 e2 e3 e4" {
		t.Errorf("got %v", got)
	}
}

func TestAnswersTellWhoIsToBlame(t *testing.T) {
	tests := map[int]fault.Kind{
		400: fault.Invalid, 422: fault.Invalid, 413: fault.TooLarge,
		302: fault.Unavailable, 401: fault.Unavailable, 403: fault.Unavailable, 404: fault.Unavailable, 429: fault.Unavailable, 500: fault.Unavailable, 503: fault.Unavailable,
	}
	for status, want := range tests {
		env, url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "because of that", status)
		})
		r, _ := http.NewRequest(http.MethodPost, url, nil)
		_, err := request(env.Web, r)
		e := (*fault.Error)(nil)
		if !errors.As(err, &e) || e.Kind != want || e.RetryAfter != 7*time.Second || !strings.Contains(e.Message, "because of that") {
			t.Errorf("%d: got %+v, want kind %d with the text and Retry-After", status, err, want)
		}
	}
}

// refusing is a client that may speak to nobody.
type refusing struct{}

func (refusing) Do(r *http.Request) (*http.Response, error) {
	return (&http.Client{Transport: refusing{}}).Do(r)
}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fault.New(fault.Invalid, "refused", "that address is private")
}

func TestNoEventIsToBlameForAnAddress(t *testing.T) {
	r, _ := http.NewRequest(http.MethodPost, "https://example.com/?api_secret=very-secret", nil)
	_, err := request(refusing{}, r)
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("got %v, want it to be tried again, with the reason and without the secret", err)
	}
}

// mixpanelServer is the import API as it is documented: basic auth, at most
// 2,000 records and 2 MB, $insert_id of at most 36 letters, digits and "-", every
// record judged by itself with strict=1.
func mixpanelServer(t *testing.T, imported map[string]int) http.HandlerFunc {
	insertID := regexp.MustCompile(`^[A-Za-z0-9-]{1,36}$`)
	return func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "pass" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Query().Get("strict") != "1" || r.URL.Query().Get("project_id") != "42" {
			t.Errorf("asked with %s", r.URL.RawQuery)
		}
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(unpacked)
		var records []struct {
			Event      string
			Properties map[string]any
		}
		if err := json.Unmarshal(body, &records); err != nil {
			t.Errorf("%.200s: %v", body, err)
		}
		if len(records) > 2000 || len(body) > 2<<20 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		var failed []map[string]any
		for i, record := range records {
			id, _ := record.Properties["$insert_id"].(string)
			at, _ := record.Properties["time"].(float64)
			switch {
			case !insertID.MatchString(id):
				failed = append(failed, map[string]any{"index": i, "$insert_id": id, "field": "properties.$insert_id", "message": "is invalid"})
			case at < 31536000_000:
				failed = append(failed, map[string]any{"index": i, "$insert_id": id, "field": "properties.time", "message": "is invalid: must be after 1971"})
			default:
				imported[id]++
			}
		}
		if len(failed) > 0 {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]any{"code": 400, "num_records_imported": len(records) - len(failed), "status": "Bad Request", "failed_records": failed})
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"code": 200, "num_records_imported": len(records), "status": "OK"})
	}
}

func TestMixpanelTakesAllButWhatItNames(t *testing.T) {
	imported := map[string]int{}
	env, url := serve(t, mixpanelServer(t, imported))
	to := target(t, env, fmt.Sprintf(`{"id":"m","type":"mixpanel","settings":{"url":%q,"project_id":"42","username":"me","password":"pass"}}`, url))
	events := someEvents()
	events[1].Timestamp = 1000 // 1970
	events[2].EventID = "an:id_with.more-than-36-characters-in-it"
	b := batchOf(t, to, "batch-1", events...)
	if err := to.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for i, item := range b.Items {
		if want := i == 1; (item.fate == refused) != want || want && !strings.Contains(item.reason, "after 1971") {
			t.Errorf("event %d: refused %t (%s), want %t", i, item.fate == refused, item.reason, want)
		}
	}
	if len(imported) != 4 || imported["e0"] != 1 {
		t.Errorf("imported %v, want 4 records", imported)
	}
	if err := to.Send(t.Context(), b.whatIsOpen()); err != nil || len(imported) != 4 {
		t.Errorf("sent again: got %v and %d different ids, want the same 4", err, len(imported))
	}
}

func TestMixpanelNamesWhatItKnows(t *testing.T) {
	to := target(t, Env{}, `{"id":"m","type":"mixpanel","settings":{"project_id":"42","username":"me","password":"pass"},"rename":{"properties.plan":"tier"}}`)
	e := event.Event{EventID: "e1", EventType: "page_view", AnonymousID: "dev", Timestamp: newYear, PageURL: "https://a.example/", Country: "DE", Properties: `{"plan":"pro","n":1.50}`}
	got, err := to.Encode(&e)
	want := `{"event":"page_view","properties":{"$insert_id":"e1","time":1767225600000,"distinct_id":"dev","$device_id":"dev","$current_url":"https://a.example/","mp_country_code":"DE","is_bot":false,"plan":"pro","n":1.50,"tier":"pro"}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

// ga4Server is the Measurement Protocol as it is documented: it answers 204 to
// everything, so its limits are looked at here.
func ga4Server(t *testing.T, got map[string][]string, requests *int) http.HandlerFunc {
	name := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,39}$`)
	return func(w http.ResponseWriter, r *http.Request) {
		*requests++
		if q := r.URL.Query(); q.Get("measurement_id") != "G-1" || q.Get("api_secret") != "key" {
			t.Errorf("asked with %s", r.URL.RawQuery)
		}
		body, _ := io.ReadAll(r.Body)
		var sent struct {
			Client string `json:"client_id"`
			Events []struct {
				Name   string
				Micros int64 `json:"timestamp_micros"`
				Params map[string]any
			}
		}
		if err := json.Unmarshal(body, &sent); err != nil || sent.Client == "" {
			t.Errorf("%.200s: %v", body, err)
		}
		if len(sent.Events) == 0 || len(sent.Events) > 25 || len(body) > 130_000 {
			t.Errorf("%d events in %d bytes, at most 25 in 130 kB are allowed", len(sent.Events), len(body))
		}
		for _, e := range sent.Events {
			if !name.MatchString(e.Name) || len(e.Params) > 25 || e.Micros < time.Now().Add(-72*time.Hour).UnixMicro() {
				t.Errorf("an event that would be dropped: %+v", e)
			}
			for key, v := range e.Params {
				if text, _ := v.(string); !name.MatchString(key) || len([]rune(text)) > 100 && !strings.HasPrefix(key, "page_") {
					t.Errorf("a parameter that would be dropped: %s = %v", key, v)
				}
			}
			got[sent.Client] = append(got[sent.Client], fmt.Sprint(e.Params["n"]))
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func TestGA4GetsEachVisitorsEventsWithinItsLimits(t *testing.T) {
	got, requests := map[string][]string{}, 0
	env, url := serve(t, ga4Server(t, got, &requests))
	to := target(t, env, fmt.Sprintf(`{"id":"g","type":"ga4","settings":{"url":%q,"measurement_id":"G-1","api_secret":"key"}}`, url))
	many := `"long":"` + strings.Repeat("é", 300) + `"`
	for i := range 40 {
		many += fmt.Sprintf(`,"key %d":%d`, i, i)
	}
	var events []event.Event
	want := map[string]string{}
	for i := range 120 {
		client := fmt.Sprint("client-", i%3)
		events = append(events, event.Event{
			EventID: fmt.Sprint("e", i), EventType: "1st weird näme " + strings.Repeat("x", i), AnonymousID: client, SessionID: "s",
			PageURL: "https://a.example/" + strings.Repeat("p", 2000), Timestamp: event.TimeOf(time.Now()), Properties: fmt.Sprintf(`{"n":%d,%s}`, i, many),
		})
		want[client] += fmt.Sprint(i, " ")
	}
	b := batchOf(t, to, "b", events...)
	if err := to.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for client, numbers := range want {
		if strings.Join(got[client], " ")+" " != numbers {
			t.Errorf("%s: got %v, want %s", client, got[client], numbers)
		}
	}
	if requests != 6 {
		t.Errorf("got %d requests, want 6: 40 events of each of 3 visitors", requests)
	}
}

func TestGA4IsNotSentWhatBecameTooOldWhileItWasAway(t *testing.T) {
	requests := 0
	env, url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(http.StatusNoContent)
	})
	to := target(t, env, fmt.Sprintf(`{"id":"g","type":"ga4","settings":{"measurement_id":"G-1","api_secret":"s","url":%q}}`, url)).(*ga4)
	now := time.UnixMilli(int64(newYear))
	to.now = func() time.Time { return now }
	b := batchOf(t, to, "b", event.Event{EventID: "old", EventType: "click", UserID: "u", Timestamp: newYear - 3600*1000}, event.Event{EventID: "new", EventType: "click", UserID: "u", Timestamp: newYear + 24*3600*1000})
	now = now.Add(71 * time.Hour)
	if err := to.Send(t.Context(), b); err != nil || requests != 1 {
		t.Fatalf("got %v and %d requests, want one with the event that is new", err, requests)
	}
	if old, fresh := b.Items[0], b.Items[1]; old.fate != refused || !strings.Contains(old.reason, "72 hours") || fresh.fate != taken {
		t.Errorf("got %+v and %+v, want the old one refused", old, fresh)
	}
}

func TestGA4RefusesWhatItWouldDrop(t *testing.T) {
	to := target(t, Env{}, `{"id":"g","type":"ga4","settings":{"measurement_id":"G-1","api_secret":"key"}}`)
	now := event.TimeOf(time.Now())
	tests := map[string]struct {
		event event.Event
		want  string
	}{
		"too old":         {event.Event{EventType: "click", UserID: "u", Timestamp: now - 72*3600*1000}, "72 hours"},
		"of nobody":       {event.Event{EventType: "click", Timestamp: now}, "client_id"},
		"a reserved name": {event.Event{EventType: "session_start", UserID: "u", Timestamp: now}, "rename_events"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := to.Encode(&tt.event); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestGA4KnowsPurchases(t *testing.T) {
	to := target(t, Env{}, `{"id":"g","type":"ga4","settings":{"measurement_id":"G-1","api_secret":"key"}}`)
	got, err := to.Encode(&event.Event{
		EventType: "purchase", AnonymousID: "d", Timestamp: event.TimeOf(time.Now()), Duration: "2.5",
		Properties: `{"order_id":"o1","amount":99.50,"currency":"EUR","items":[{"product_id":"p1","quantity":2,"price":49.75}]}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"name":"purchase"`, `"transaction_id":"o1"`, `"value":99.50`, `"currency":"EUR"`, `"items":[{"item_id":"p1","price":49.75,"quantity":2}]`, `"engagement_time_msec":2500`,
	} {
		if !strings.Contains(string(got), part) {
			t.Errorf("%s is missing in %s", part, got)
		}
	}
}
