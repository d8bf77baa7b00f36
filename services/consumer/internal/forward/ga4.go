package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
)

// ga4 sends by the Measurement Protocol. That answers 204 to everything and
// passes over what it does not understand, so all of its documented limits are
// kept here, and what lies outside of them is refused before it is sent. It knows
// no event again: what is sent twice counts twice.
type ga4 struct {
	client  Doer
	address string
	shape   *destination.Shape
	now     func() time.Time
}

const (
	mostGA4Events = 25             // in a request
	mostGA4Bytes  = 120_000        // of 130 kB
	mostGA4Params = 25             // of an event
	mostGA4Name   = 40             // characters
	mostGA4Text   = 100            // characters of a parameter
	mostGA4Items  = 200            // of a purchase
	oldestGA4     = 71 * time.Hour // of 72: it must arrive in time
)

func (o *opening) ga4(s *destination.GA4) (Target, error) {
	secret, err := o.secret("api_secret", s.APISecret)
	if err != nil {
		return nil, err
	}
	address := s.URL + "?" + url.Values{"measurement_id": {s.MeasurementID}, "api_secret": {secret}}.Encode()
	return &ga4{o.Web, address, &o.definition.Shape, time.Now}, nil
}

func (g *ga4) Limits() Limits { return Limits{Events: 500, Bytes: 4 << 20, Once: true} }

// ga4Names are what Google calls kinds of events that it has reports for.
var ga4Names = map[string]string{
	"product_view": "view_item", "cart_add": "add_to_cart", "cart_remove": "remove_from_cart", "form_submit": "generate_lead",
}

// ga4Reserved are names that it keeps for itself.
var ga4Reserved = regexp.MustCompile(`^(_|firebase_|ga_|google_|gtag\.)|^(ad_|app_(clear_data|exception|install|remove|store_|update|upgrade)|adunit_exposure$|dynamic_link_|error$|first_open|first_visit$|in_app_purchase$|notification_|os_update$|session_start$|user_engagement$)`)

var notOfAName = regexp.MustCompile(`[^A-Za-z0-9_]`)

func ga4Name(name string) string {
	name = notOfAName.ReplaceAllString(name, "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' || name[0] == '_' {
		name = "x" + name
	}
	return name[:min(len(name), mostGA4Name)]
}

func ga4Text(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most])
	}
	return text
}

type ga4Event struct {
	Name   string         `json:"name"`
	Micros int64          `json:"timestamp_micros"`
	Params map[string]any `json:"params"`
}

// tooOld is an error when an event is: while Google was away, it may have become so.
func (g *ga4) tooOld(e *event.Event) error {
	if g.now().Sub(e.Timestamp.Std()) > oldestGA4 {
		return fmt.Errorf("happened at %s: Google Analytics takes no events older than 72 hours", e.Timestamp)
	}
	return nil
}

func (g *ga4) Encode(e *event.Event) ([]byte, error) {
	if err := g.tooOld(e); err != nil {
		return nil, err
	}
	if e.AnonymousID+e.UserID+e.SessionID == "" {
		return nil, fmt.Errorf("has no anonymous_id, user_id and session_id: Google Analytics needs a client_id")
	}
	if ga4Reserved.MatchString(e.EventType) {
		return nil, fmt.Errorf("%q is a name that Google Analytics keeps for itself: give it another in rename_events", e.EventType)
	}
	name := ga4Names[e.EventType]
	if name == "" {
		name = ga4Name(e.EventType)
	}
	body, err := json.Marshal(ga4Event{name, int64(e.Timestamp) * 1000, g.params(e)})
	if err == nil && len(body) > mostGA4Bytes-2000 {
		err = fmt.Errorf("has %d bytes: a request to Google Analytics may have 130 kB", len(body))
	}
	return body, err
}

func (g *ga4) params(e *event.Event) map[string]any {
	params := map[string]any{"engagement_time_msec": max(1, milliseconds(e.Duration))}
	text := func(name, value string, most int) {
		if value != "" {
			params[name] = ga4Text(value, most)
		}
	}
	if e.SessionID != "" {
		params["session_id"] = fmt.Sprint(xxhash.Sum64String(e.SessionID) >> 12) // it must be a number
	}
	text("page_location", e.PageURL, 1000)
	text("page_title", e.PageTitle, 300)
	text("page_referrer", e.Referrer, 420)
	g.goods(e, params)
	add := func(name string, v event.Value) bool {
		name = ga4Name(name)
		if _, there := params[name]; there || len(params) == mostGA4Params || ga4Reserved.MatchString(name) {
			return true
		}
		switch v.Kind {
		case event.Numeric:
			params[name] = json.Number(v.Text)
		case event.String, event.Bool:
			text(name, ask.Text(v), mostGA4Text)
		}
		return true
	}
	for _, c := range g.shape.Columns() {
		switch {
		case c.Field == nil:
			add(c.Name, c.Value(e))
		case c.Field.Kind == event.Object:
			event.EachProperty(e.Properties, add)
		case slices.Contains(g.shape.Fields, c.Field.Name): // by name only: it has most of them by itself
			add(c.Name, c.Value(e))
		}
	}
	return params
}

func milliseconds(seconds event.Number) int64 {
	n, _ := seconds.Float()
	return int64(n * 1000)
}

// goods are what is bought or looked at, as Google's reports on shops want it.
func (g *ga4) goods(e *event.Event, params map[string]any) {
	copied := func(to map[string]any, name, property, object string) {
		switch v := event.Property(object, property); v.Kind {
		case event.Numeric:
			to[name] = json.Number(v.Text)
		case event.String:
			to[name] = ga4Text(v.Text, mostGA4Text)
		}
	}
	item := func(object string) map[string]any {
		one := map[string]any{}
		for _, name := range [][2]string{
			{"item_id", "product_id"}, {"item_name", "product_name"}, {"item_category", "category"}, {"price", "price"}, {"quantity", "quantity"},
		} {
			copied(one, name[0], name[1], object)
		}
		return one
	}
	copied(params, "value", "amount", e.Properties)
	copied(params, "currency", "currency", e.Properties)
	copied(params, "transaction_id", "order_id", e.Properties)
	copied(params, "search_term", "query", e.Properties)
	var items []map[string]any
	if list := event.Property(e.Properties, "items"); strings.HasPrefix(list.Text, "[") {
		event.EachElement(list.Text, func(v event.Value) bool {
			if v.Kind == event.Compound {
				items = append(items, item(v.Text))
			}
			return len(items) < mostGA4Items
		})
	} else if event.Property(e.Properties, "product_id").Kind != event.Absent {
		items = append(items, item(e.Properties))
	}
	if items != nil {
		params["items"] = items
	}
}

// visitor is who a request's events are of.
type visitor struct{ client, user string }

func visitorOf(e *event.Event) visitor {
	for _, id := range []string{e.AnonymousID, e.UserID, e.SessionID} {
		if id != "" {
			return visitor{id, e.UserID}
		}
	}
	return visitor{}
}

// Send makes requests of a visitor each, with the visitor's events in their order.
func (g *ga4) Send(ctx context.Context, b Batch) error {
	var order []visitor
	of := map[visitor][]*Item{}
	for _, item := range b.Items {
		if err := g.tooOld(item.Event); err != nil {
			item.Refused(err.Error())
			continue
		}
		v := visitorOf(item.Event)
		if of[v] == nil {
			order = append(order, v)
		}
		of[v] = append(of[v], item)
	}
	for _, v := range order {
		for items := of[v]; len(items) > 0; {
			n := ga4Fits(items)
			if err := g.post(ctx, v, items[:n]); err != nil {
				return err
			}
			for _, item := range items[:n] {
				item.Taken()
			}
			items = items[n:]
		}
	}
	return nil
}

// ga4Fits is how many of some events go into one request.
func ga4Fits(items []*Item) int {
	bytes := 2000 // for all else in it
	for i, item := range items {
		if bytes += len(item.Body) + 1; i > 0 && bytes > mostGA4Bytes || i == mostGA4Events {
			return i
		}
	}
	return len(items)
}

func (g *ga4) post(ctx context.Context, v visitor, items []*Item) error {
	events := make([]json.RawMessage, len(items))
	for i, item := range items {
		events[i] = item.Body
	}
	body, err := json.Marshal(struct {
		Client string            `json:"client_id"`
		User   string            `json:"user_id,omitempty"`
		Events []json.RawMessage `json:"events"`
	}{v.client, v.user, events})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	_, err = request(g.client, r)
	return err
}

func (g *ga4) Close() error { return nil }
