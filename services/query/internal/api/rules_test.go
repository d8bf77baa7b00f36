package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
)

const (
	rules  = projects + "/shop/rules"
	aRule  = `{"id":"large","kind":"event","event":{"event":"purchase","filters":[{"property":"amount","op":"gte","value":100}]},"severity":"critical","channels":["ops"]}`
	aBurst = `{"id":"burst","kind":"threshold","event":"*","value":0,"window":"1h"}`
)

func TestARuleIsMadeChangedAndDeleted(t *testing.T) {
	s := start(t)
	if made := s.post(adminKey, rules, aRule).ok(); made.status != http.StatusCreated {
		t.Errorf("got %d, want 201", made.status)
	}
	s.post(adminKey, rules, aRule).fails(http.StatusConflict, "changed_or_taken", "")
	s.do(http.MethodPut, adminKey, rules+"/large", strings.Replace(aRule, "critical", "info", 1)).ok().has("definition.severity", `"info"`)
	s.do(http.MethodPut, adminKey, rules+"/other", aRule).fails(http.StatusBadRequest, "invalid_field", "id")
	s.do(http.MethodPut, adminKey, rules+"/burst", aBurst).ok()
	s.get(adminKey, rules).ok().has("rules.0.definition.id", `"burst"`)
	s.do(http.MethodDelete, adminKey, rules+"/large", "").ok()
	s.get(adminKey, rules+"/large").fails(http.StatusNotFound, "unknown_rule", "")
	s.get(adminKey, strings.Replace(rules, "shop", "nobody", 1)).fails(http.StatusNotFound, "unknown_project", "")
	s.get(shopKey, rules).fails(http.StatusForbidden, "wrong_key", "")
}

func TestAWrongRuleIsToldByField(t *testing.T) {
	s := start(t)
	for body, field := range map[string]string{
		`{"id":"a","kind":"event"}`:                                           "event",
		`{"id":"a","kind":"event","event":"a","filtres":[]}`:                  "filtres",
		`{"id":"a","kind":"threshold","event":"a","value":1,"window":"soon"}`: "window",
	} {
		s.post(adminKey, rules, body).fails(http.StatusBadRequest, "invalid_field", field)
		s.post(adminKey, rules+"/a/preview", `{"definition":`+body+`}`).fails(http.StatusBadRequest, "invalid_field", "definition."+field)
	}
	s.post(adminKey, rules+"/b/preview", `{"definition":{"id":"a","kind":"event","event":"a"}}`).fails(http.StatusBadRequest, "invalid_field", "definition.id")
	s.post(adminKey, rules+"/b/preview", `{}`).fails(http.StatusNotFound, "unknown_rule", "")
}

func TestAPreviewTellsWhatARuleWouldHave(t *testing.T) {
	s := start(t)
	for _, e := range aMorning() {
		s.now = e.Timestamp.Std()
		s.send("shop", e)
		s.send("blog", e)
	}
	s.now = noon
	p := s.post(adminKey, rules+"/any/preview", `{"days":2,"definition":{"id":"any","kind":"event","event":"*"}}`).ok()
	p.has("events", "7")
	p.has("total", "7")
	p.has("firings.0.project", `"shop"`)
	s.post(adminKey, rules, aBurst).ok()
	p = s.post(adminKey, rules+"/burst/preview", `{"days":2}`).ok()
	p.has("firings.0.state", `"firing"`)
	p.has("firings.1.state", `"recovered"`)
	p.has("complete", "true")
	link, _ := p.json("firings.0.link").(string)
	if page := s.get(shopKey, link); page.status != http.StatusOK || !strings.Contains(string(page.body), "<html") {
		t.Errorf("the link %s: got %d %.200s", link, page.status, page.body)
	}
	s.post(adminKey, rules+"/none/preview", `{"definition":{"id":"none","kind":"event","event":"nothing"}}`).ok().has("firings", `[]`)
}

func TestHowARuleIs(t *testing.T) {
	s := start(t)
	s.post(adminKey, rules, aRule).ok()
	s.get(adminKey, rules+"/large/status").fails(http.StatusNotFound, "not_evaluated", "")
	s.get(adminKey, rules+"/none/status").fails(http.StatusNotFound, "unknown_rule", "")
	said := store.Record{Kind: rule.StatusKind, Project: "shop", ID: rule.StatusID, Data: []byte(`{"at": "2026-06-16T12:00:00Z", "progress": "2026-06-16T11:59:30Z", "rules": {"large": {"since": "2026-06-16T10:00:00Z", "groups": 2, "alarms": 1}}}`)}
	if err := s.store.CreateRecord(t.Context(), said); err != nil {
		t.Fatal(err)
	}
	s.get(adminKey, rules+"/large/status").ok().has("alarms", "1")
}

// TestMoreThanAPage has more rules than are read at a time.
func TestMoreThanAPage(t *testing.T) {
	s := start(t)
	for i := range 1000 {
		r := store.Record{Kind: rule.RecordKind, Project: "shop", ID: fmt.Sprintf("r%03d", i), Data: fmt.Appendf(nil, `{"definition": {"id": "r%03d", "kind": "event"}, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}`, i)}
		if err := s.store.CreateRecord(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if all, _ := s.get(adminKey, rules).ok().json("rules").([]any); len(all) != 1000 {
		t.Errorf("got %d rules, want 1000", len(all))
	}
	s.post(adminKey, rules, aRule).fails(http.StatusConflict, "too_many", "")
	s.do(http.MethodPut, adminKey, rules+"/large", aRule).fails(http.StatusConflict, "too_many", "")
}

func TestATestOfARuleIsANoticeForEachOfItsChannels(t *testing.T) {
	s := start(t)
	s.post(adminKey, rules, aRule).ok()
	s.post(adminKey, rules+"/large/test", "").ok()
	records, err := s.store.Records(t.Context(), notice.Kind, "shop", "", 10)
	if err != nil || len(records) != 1 {
		t.Fatalf("got %v, %v, want one notice", records, err)
	}
	if n, err := notice.Of(&records[0]); err != nil || !n.Test || n.Channel != "ops" || n.Firing.Rule != "large" || records[0].Due == 0 {
		t.Errorf("got %+v, %v", n, err)
	}
	s.post(adminKey, rules, aBurst).ok()
	s.post(adminKey, rules+"/burst/test", "").fails(http.StatusConflict, "no_channels", "")
}
