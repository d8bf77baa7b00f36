package allinone_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/services/allinone"
)

// secret is in everything that says who the person is who will be erased.
const secret = "ann.smith"

// shopper is a project with its keys.
type shopper struct {
	id       string
	WriteKey string `json:"write_key"`
	ReadKey  string `json:"read_key"`
}

func (s *system) project(id string) *shopper {
	s.t.Helper()
	p := &shopper{id: id}
	if status := s.call(http.MethodPost, s.query+"/api/v1/admin/projects", allinone.DemoAdminKey, map[string]any{"id": id}, p); status != http.StatusCreated {
		s.t.Fatalf("make %s: got %d", id, status)
	}
	return p
}

// bobs are events of others, some of them on the person's device.
func bobs() (events []map[string]any) {
	for i := range 12 {
		e := visit(fmt.Sprintf("bob-%02d", i), "bob", fmt.Sprintf("2026-03-%02dT10:%02d:00Z", 2+i/4, i))
		e["page_url"], e["anonymous_id"] = fmt.Sprintf("https://shop.example/p/%d", i%3), "phone"
		events = append(events, e)
	}
	bought := visit("bob-buys", "bob", "2026-03-03T11:00:00Z")
	bought["event_type"], bought["properties"] = "purchase", map[string]any{"amount": 5, "currency": "EUR"}
	guest := visit("guest", "", "2026-03-03T12:00:00Z")
	delete(guest, "user_id")
	guest["anonymous_id"] = "visitor"
	return append(events, bought, guest)
}

// anns are the person's: before she was known, after, and without a session.
func anns() (events []map[string]any) {
	for i := range 9 {
		e := visit(fmt.Sprintf("e-%02d", i), secret, fmt.Sprintf("2026-03-%02dT09:%02d:00Z", 1+i/2, i))
		e["page_url"], e["anonymous_id"] = "https://shop.example/"+secret, "cookie-"+secret
		e["properties"] = map[string]any{"name": secret}
		if i < 4 {
			delete(e, "user_id")
		}
		if i%2 == 0 {
			e["event_type"], e["properties"] = "purchase", map[string]any{"amount": 100, "currency": "EUR", "name": secret}
		}
		events = append(events, e)
	}
	return events
}

// What is left of a project from which somebody was erased is what a project
// answers that never knew of them.
func TestNobodyShowsWhoWasErased(t *testing.T) {
	ferret := func(c *allinone.Config) { c.UseMongo, c.Mongo.URI = true, testenv.StartFerretDB(t).URI() }
	for name, use := range map[string]func(*allinone.Config){"SQLite": func(*allinone.Config) {}, "MongoDB": ferret} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			use(c)
			again := *c
			s := start(t, c)
			shop, control := s.project("shop"), s.project("control")
			s.send(shop.WriteKey, append(bobs(), anns()...)...)
			s.send(control.WriteKey, bobs()...)
			s.visible(shop.ReadKey, "2026-03-01", "2026-03-31", 23)
			s.visible(control.ReadKey, "2026-03-01", "2026-03-31", 14)
			if got := s.answers(shop)["users/"+secret]; !strings.Contains(got, secret) {
				t.Fatalf("before the erasure: %s", got)
			}

			s.erased(shop, map[string]any{"user_id": secret}, 9)
			s.alike(shop, control)

			// Retries bring nothing back, not to those who know of them and not to those who start.
			s.send(shop.WriteKey, anns()...)
			s.duplicates(shop, 9)
			s.alike(shop, control)
			s.stop()
			s = start(t, &again)
			s.visible(shop.ReadKey, "2026-03-01", "2026-03-31", 14)
			s.alike(shop, control)
			s.send(shop.WriteKey, anns()...)
			s.duplicates(shop, 18)
			s.alike(shop, control)

			// Who comes back is new, and so is the device.
			back := visit("new", "", "2026-03-05T10:00:00Z")
			delete(back, "user_id")
			back["anonymous_id"] = "cookie-" + secret
			s.send(shop.WriteKey, back)
			s.send(control.WriteKey, back)
			s.visible(shop.ReadKey, "2026-03-01", "2026-03-31", 15)
			s.visible(control.ReadKey, "2026-03-01", "2026-03-31", 15)
			s.same(shop, control)
		})
	}
}

// erased waits until a person is.
func (s *system) erased(p *shopper, who map[string]any, events int) {
	s.t.Helper()
	var job struct {
		Job, State string
		Counts     map[string]int
	}
	admin := s.query + "/api/v1/admin/projects/" + p.id
	if status := s.call(http.MethodPost, admin+"/erase", allinone.DemoAdminKey, who, &job); status != http.StatusAccepted {
		s.t.Fatalf("erase: got %d", status)
	}
	eventually(s.t, "the job to end", func() bool {
		return s.call(http.MethodGet, admin+"/jobs/"+job.Job, allinone.DemoAdminKey, nil, &job) == http.StatusOK && job.State != "waiting" && job.State != "running"
	})
	if job.State != "done" || job.Counts["events"] != events {
		s.t.Errorf("the job is %+v, want %d events erased", job, events)
	}
}

func (s *system) duplicates(p *shopper, want int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d duplicates", want), func() bool {
		var sum struct{ Duplicates int }
		s.ask(p.ReadKey, "accounting", map[string]any{}, &sum)
		return sum.Duplicates == want
	})
}

// alike wants two projects to answer the same, with no trace of the person.
func (s *system) alike(a, b *shopper) {
	s.t.Helper()
	for question, answer := range s.answers(a) {
		asked := strings.Contains(question, secret) || strings.HasSuffix(question, "#gone") // may repeat the name
		if !asked && strings.Contains(answer, secret) {
			s.t.Errorf("%s shows the person: %.2000s", question, answer)
		}
	}
	s.same(a, b)
}

func (s *system) same(a, b *shopper) {
	s.t.Helper()
	expected := s.answers(b)
	for question, answer := range s.answers(a) {
		if got, want := plainOf(answer), plainOf(expected[question]); !reflect.DeepEqual(got, want) {
			s.t.Errorf("%s differs from what it answers where nobody was erased: %s", question, difference(got, want))
		}
	}
}

// difference is the first of two answers.
func difference(got, want any) string {
	if g, ok := got.(map[string]any); ok {
		if w, ok := want.(map[string]any); ok {
			for name := range g {
				if !reflect.DeepEqual(g[name], w[name]) {
					return name + "." + difference(g[name], w[name])
				}
			}
		}
	}
	if g, ok := got.([]any); ok {
		if w, ok := want.([]any); ok && len(g) == len(w) {
			for i := range g {
				if !reflect.DeepEqual(g[i], w[i]) {
					return fmt.Sprint(i, ".", difference(g[i], w[i]))
				}
			}
		}
	}
	return fmt.Sprintf("got %.300v, want %.300v", got, want)
}

// answers are those of every report about all that there is.
func (s *system) answers(p *shopper) map[string]string {
	s.t.Helper()
	const rest = `,"from":"2026-03-01","to":"2026-03-31"}`
	steps := `{"steps":["page_view","purchase"]`
	answers := map[string]string{}
	for path, body := range map[string]string{
		"events":                 `{"limit":1000` + rest,
		"events#gone":            `{"user_id":"` + secret + `"` + rest,
		"stats/events":           `{"unit":"user"` + rest,
		"stats/pages":            `{"limit":100` + rest,
		"summary":                `{"limit":100` + rest,
		"trends":                 `{"series":[{"event":"*","metric":"users"},{"event":"purchase","metric":"sum","property":"amount"}],"breakdown":{"property":"properties.name"}` + rest,
		"trends#sessions":        `{"series":[{"event":"*","metric":"sessions"}],"breakdown":{"property":"anonymous_id"}` + rest,
		"funnel":                 steps + `,"breakdown":{"property":"page_path"}` + rest,
		"funnel/users":           steps + `,"step":0` + rest,
		"funnel/explain":         steps + `,"user_id":"bob"` + rest,
		"funnel/explain#gone":    steps + `,"user_id":"` + secret + `"` + rest,
		"recommendations#gone":   `{"user_id":"` + secret + `"` + rest,
		"retention":              `{"start_event":"page_view","period":"day"` + rest,
		"retention/users":        `{"start_event":"page_view","period":"day","cohort_index":1` + rest,
		"paths":                  `{"by":"page_path","start":"*"` + rest,
		"lifecycle":              `{"interval":"day"` + rest,
		"stickiness":             `{"interval":"day"` + rest,
		"heatmap":                `{"grid":10` + rest,
		"recommendations":        `{"limit":10` + rest,
		"users/bob":              `{}`,
		"users/phone":            `{}`,
		"users/" + secret:        `{}`,
		"users/cookie-" + secret: `{}`,
		"export#csv":             `{"format":"csv"` + rest,
		"export#ndjson":          `{"format":"ndjson"` + rest,
		"export#parquet":         `{"format":"parquet"` + rest,
		"report":                 `{"limit":10` + rest,
	} {
		route, _, _ := strings.Cut(path, "#")
		answers[path] = s.text(p.ReadKey, s.query+"/api/v1/analytics/"+route, body)
	}
	return answers
}

// text is a POST's answer as it is.
func (s *system) text(key, url, body string) string {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode >= 500 || res.StatusCode == http.StatusBadRequest {
		s.t.Fatalf("%s %s: %d %s", url, body, res.StatusCode, answer)
	}
	return fmt.Sprint(res.StatusCode, " ", string(answer))
}

// plainOf is a JSON answer without what says when and of which project it is;
// of a file, whose events say so on every line, its number of lines, if it has lines.
func plainOf(answer string) any {
	status, body, _ := strings.Cut(answer, " ")
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		if strings.HasPrefix(body, "PAR1") {
			return status
		}
		return status + fmt.Sprint(strings.Count(body, "\n"))
	}
	return []any{status, stripped(v)}
}

func stripped(v any) any {
	switch node := v.(type) {
	case map[string]any:
		for _, name := range []string{"query", "as_of", "lag_seconds", "received_at", "stored_at", "project", "request_id", "next_cursor"} {
			delete(node, name)
		}
		for name := range node {
			node[name] = stripped(node[name])
		}
	case []any:
		for i := range node {
			node[i] = stripped(node[i])
		}
	}
	return v
}
