package forward

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
)

// mixpanel sends to the import API with strict=1: the answer names the records
// that are refused, all others are taken. $insert_id lets Mixpanel know an event
// that is sent again.
type mixpanel struct {
	client   Doer
	address  string
	username string
	password string
	shape    *destination.Shape
}

const (
	mostMixpanelEvents = 2000
	mostMixpanelBytes  = 2 << 20
)

func (o *opening) mixpanel(s *destination.Mixpanel) (Target, error) {
	password, err := o.secret("password", s.Password)
	if err != nil {
		return nil, err
	}
	address := s.URL + "?" + url.Values{"strict": {"1"}, "project_id": {s.ProjectID}}.Encode()
	return &mixpanel{o.Web, address, s.Username, password, &o.definition.Shape}, nil
}

func (m *mixpanel) Limits() Limits {
	return Limits{Events: mostMixpanelEvents, Bytes: mostMixpanelBytes - mostMixpanelEvents - 2}
}

// mixpanelNames are what Mixpanel calls fields that it knows.
var mixpanelNames = map[string]string{
	"user_id": "$user_id", "anonymous_id": "$device_id", "page_url": "$current_url", "referrer": "$referrer", "browser": "$browser",
	"browser_version": "$browser_version", "os": "$os", "os_version": "$os_version", "city": "$city", "region": "$region", "country": "mp_country_code",
}

var insertID = regexp.MustCompile(`^[A-Za-z0-9-]{1,36}$`)

func (m *mixpanel) Encode(e *event.Event) ([]byte, error) {
	id := e.EventID
	if !insertID.MatchString(id) { // Mixpanel takes fewer characters than we do
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:16])
	}
	user := e.UserID
	if user == "" {
		user = e.AnonymousID
	}
	out := event.TextValue(e.EventType).AppendJSON([]byte(`{"event":`))
	out = append(out, `,"properties":{"$insert_id":"`...)
	out = append(append(out, id...), `","time":`...)
	out = strconv.AppendInt(out, int64(e.Timestamp), 10)
	out = event.TextValue(user).AppendJSON(append(out, `,"distinct_id":`...))
	add := func(name string, v event.Value) bool {
		if v.Kind != event.Absent {
			out = event.TextValue(name).AppendJSON(append(out, ','))
			out = v.AppendJSON(append(out, ':'))
		}
		return true
	}
	for _, c := range m.shape.Columns() {
		switch {
		case c.Field == nil || m.shape.Rename[c.Field.Name] != "":
			add(c.Name, c.Value(e))
		case c.Field.Kind == event.Object:
			event.EachProperty(e.Properties, add)
		case c.Name == "event_type" || c.Name == "event_id" || c.Name == "timestamp":
		case mixpanelNames[c.Name] != "":
			add(mixpanelNames[c.Name], c.Value(e))
		default:
			add(c.Name, c.Value(e))
		}
	}
	return append(out, "}}"...), nil
}

func (m *mixpanel) Send(ctx context.Context, b Batch) error {
	var body bytes.Buffer
	packed := gzip.NewWriter(&body)
	for i, item := range b.Items {
		separator := ","
		if i == 0 {
			separator = "["
		}
		_, err := packed.Write(append([]byte(separator), item.Body...))
		if err != nil {
			return err
		}
	}
	_, err := packed.Write([]byte("]"))
	if err := errors.Join(err, packed.Close()); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.address, &body)
	if err != nil {
		return err
	}
	r.SetBasicAuth(m.username, m.password)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	answer, err := request(m.client, r)
	if refuseRecords(b, answer) {
		return nil
	}
	return err
}

// refuseRecords marks what the answer says was refused; false when it names
// none, and then the whole batch is as the answer's status says.
func refuseRecords(b Batch, answer []byte) bool {
	var said struct {
		Failed []struct {
			Index   int    `json:"index"`
			Field   string `json:"field"`
			Message string `json:"message"`
		} `json:"failed_records"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return false
	}
	for _, f := range said.Failed {
		if f.Index >= 0 && f.Index < len(b.Items) {
			b.Items[f.Index].Refused(f.Field + ": " + f.Message)
		}
	}
	return len(said.Failed) > 0
}

func (m *mixpanel) Close() error { return nil }
