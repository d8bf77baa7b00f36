package report

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

// now in tests: a Thursday afternoon.
var testEnv = Env{Now: at("2026-03-19T15:04:05Z")}

func at(s string) event.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return event.TimeOf(t)
}

func params(t *testing.T, body string) *Params {
	t.Helper()
	p, err := ParamsFromJSON([]byte(body))
	if err != nil {
		t.Fatalf("ParamsFromJSON(%s): %v", body, err)
	}
	return p
}

func TestRangeIsBothEndsInclusive(t *testing.T) {
	tests := map[string]struct{ body, from, to string }{
		"nothing is the last 7 days":             {`{}`, "2026-03-13T00:00:00.000Z", "2026-03-19T23:59:59.999Z"},
		"days count today":                       {`{"days": 1}`, "2026-03-19T00:00:00.000Z", "2026-03-19T23:59:59.999Z"},
		"a bare date is its whole day":           {`{"from": "2026-01-01", "to": "2026-01-31"}`, "2026-01-01T00:00:00.000Z", "2026-01-31T23:59:59.999Z"},
		"a time is that instant":                 {`{"from": "2026-01-01T10:00:00Z", "to": "2026-01-01T12:00:00+01:00"}`, "2026-01-01T10:00:00.000Z", "2026-01-01T11:00:00.000Z"},
		"epoch milliseconds":                     {`{"from": 1767225600000, "to": 1767225600001}`, "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.001Z"},
		"days before a date":                     {`{"to": "2026-01-31", "days": 31}`, "2026-01-01T00:00:00.000Z", "2026-01-31T23:59:59.999Z"},
		"from until today":                       {`{"from": "2026-03-01"}`, "2026-03-01T00:00:00.000Z", "2026-03-19T23:59:59.999Z"},
		"dates are of the time zone":             {`{"from": "2026-03-29", "to": "2026-03-29", "timezone": "Europe/Berlin"}`, "2026-03-28T23:00:00.000Z", "2026-03-29T21:59:59.999Z"},
		"today is the time zone's":               {`{"days": 1, "timezone": "Pacific/Auckland"}`, "2026-03-19T11:00:00.000Z", "2026-03-20T10:59:59.999Z"},
		"a date whose midnight does not exist":   {`{"from": "2018-11-04", "to": "2018-11-04", "timezone": "America/Sao_Paulo"}`, "2018-11-04T03:00:00.000Z", "2018-11-05T01:59:59.999Z"},
		"a date whose midnight comes twice":      {`{"from": "2026-11-01", "to": "2026-11-01", "timezone": "America/Havana"}`, "2026-11-01T04:00:00.000Z", "2026-11-02T04:59:59.999Z"},
		"a skipped date lies within no instants": {`{"from": "2011-12-29", "to": "2011-12-30", "timezone": "Pacific/Apia"}`, "2011-12-29T10:00:00.000Z", "2011-12-30T09:59:59.999Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := params(t, tt.body)
			c := p.Common(testEnv)
			if err := p.Done(); err != nil {
				t.Fatal(err)
			}
			if c.From.String() != tt.from || c.To.String() != tt.to {
				t.Errorf("got %s … %s, want %s … %s", c.From, c.To, tt.from, tt.to)
			}
		})
	}
}

func TestMistakesNameTheirField(t *testing.T) {
	tests := map[string]struct{ body, field string }{
		"unknown zone":             {`{"timezone": "Mars/Olympus"}`, "timezone"},
		"from after to":            {`{"from": "2026-02-01", "to": "2026-01-01"}`, "from"},
		"not a date":               {`{"from": "yesterday"}`, "from"},
		"a time without zone":      {`{"from": "2026-02-01T10:00:00"}`, "from"},
		"days beside from":         {`{"from": "2026-02-01", "days": 3}`, "days"},
		"days as a fraction":       {`{"days": 1.5}`, "days"},
		"days as text":             {`{"days": "7"}`, "days"},
		"unknown field":            {`{"filter": []}`, "filter"},
		"unknown op":               {`{"filters": [{"property": "a", "op": "equals", "value": 1}]}`, "filters[0].op"},
		"no property":              {`{"filters": [{"op": "eq", "value": 1}]}`, "filters[0].property"},
		"nested mistake":           {`{"filters": [{"or": [{"property": "a", "value": 1}, {"not": {"property": "b", "op": "in", "value": 2}}]}]}`, "filters[0].or[1].not.value"},
		"unknown field in filter":  {`{"filters": [{"property": "a", "op": "eq", "values": 1}]}`, "filters[0].value"},
		"between needs two":        {`{"filters": [{"property": "a", "op": "between", "value": [1]}]}`, "filters[0].value"},
		"order needs a number":     {`{"filters": [{"property": "a", "op": "gt", "value": "big"}]}`, "filters[0].value"},
		"null is not a value":      {`{"filters": [{"property": "a", "op": "eq", "value": null}]}`, "filters[0].value"},
		"empty or":                 {`{"filters": [{"or": []}]}`, "filters[0].or"},
		"or beside property":       {`{"filters": [{"or": [{"property": "a", "op": "exists"}], "property": "b"}]}`, "filters[0].property"},
		"unknown unit":             {`{"unit": "users"}`, "unit"},
		"unit without property":    {`{"unit": {"prop": "org"}}`, "unit.property"},
		"whole properties as unit": {`{"unit": {"property": "properties"}}`, "unit.property"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := params(t, tt.body)
			p.Common(testEnv)
			var f *fault.Error
			if err := p.Done(); !errors.As(err, &f) || f.Kind != fault.Invalid || f.Field != tt.field {
				t.Fatalf("got %v, want an invalid %s", err, tt.field)
			}
			if f.Message == "" {
				t.Error("the message is empty")
			}
		})
	}
}

func TestGetParametersMeanTheSame(t *testing.T) {
	p, err := ParamsFromQuery(url.Values{
		"days": {"3"}, "timezone": {"UTC"}, "filters": {`[{"property":"browser","op":"eq","value":"Chrome"}]`}, "unit": {"session"}, "empty": {""},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := p.Common(testEnv)
	if err := p.Done(); err != nil {
		t.Fatal(err)
	}
	if c.From.String() != "2026-03-17T00:00:00.000Z" || len(c.Filters) != 1 || c.Unit.Kind != SessionUnit {
		t.Errorf("got %+v", c)
	}
}
