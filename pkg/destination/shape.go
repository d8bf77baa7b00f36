package destination

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/secret"
)

// Shape is which events go to a destination and what becomes of them on the
// way, in this order: events and filters choose, sample chooses of the users,
// remove and hash take out what must not leave, rename_events gives types other
// names; of what is left, fields are those that are sent, and rename gives them
// other names.
type Shape struct {
	Events       []ask.Selector    `json:"events,omitempty"` // any of them; none: all events
	Filters      ask.Filters       `json:"filters,omitempty"`
	Sample       float64           `json:"sample"` // part of the users, up to 1
	Remove       []string          `json:"remove,omitempty"`
	Hash         []string          `json:"hash,omitempty"`
	Salt         secret.Value      `json:"salt,omitzero"`
	RenameEvents map[string]string `json:"rename_events,omitempty"`
	Fields       []string          `json:"fields,omitempty"` // none: all
	Rename       map[string]string `json:"rename,omitempty"`

	columns []Column
}

// Column is one field of what is sent.
type Column struct {
	Name  string
	Field *event.Field // nil: a property

	source string
}

// kept are fields without which an event is none, or is not known again.
var kept = []string{"event_id", "event_type", "timestamp"}

func (s *Shape) read(p *ask.Params, c calendar.Calendar) {
	for _, v := range p.List("events") {
		s.Events = append(s.Events, p.SelectorWith("events", v, c, nil))
	}
	s.Filters = p.Filters("filters", c)
	s.Sample = sample(p)
	s.Remove, s.Hash = texts(p, "remove", 100), texts(p, "hash", 100)
	for name, fields := range map[string][]string{"remove": s.Remove, "hash": s.Hash} {
		for _, f := range fields {
			if slices.Contains(kept, f) {
				p.Fail(name, "must leave %s alone: an event needs it", f)
			}
		}
	}
	for _, name := range s.Hash {
		if f := event.FieldNamed(name); f != nil && f.Kind != event.Text {
			p.Fail("hash", "must name fields that are text, or properties, got %s", name)
		}
	}
	s.Salt = readSecret(p, "salt", false)
	s.RenameEvents = pairs(p, "rename_events", 200)
	s.Fields = texts(p, "fields", 300)
	s.Rename = pairs(p, "rename", 300)
	s.columns = s.listColumns()
	s.checkColumns(p)
}

func sample(p *ask.Params) float64 {
	v := p.Get("sample")
	if v == nil {
		return 1
	}
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil && f > 0 && f <= 1 {
			return f
		}
	}
	p.Fail("sample", "must be a number above 0 and up to 1, got %s", ask.Describe(v))
	return 1
}

// listColumns are the fields to be sent: those that are named; else all of an
// event, and the properties that get another name beside the rest of them.
func (s *Shape) listColumns() (columns []Column) {
	fields := s.Fields
	if fields == nil {
		for i := range event.Fields {
			fields = append(fields, event.Fields[i].Name)
		}
		for from := range s.Rename {
			if event.FieldNamed(from) == nil {
				fields = append(fields, from)
			}
		}
		slices.Sort(fields[len(event.Fields):])
	}
	for _, source := range fields {
		name := strings.TrimPrefix(source, event.PropertyPrefix)
		if to := s.Rename[source]; to != "" {
			name = to
		}
		columns = append(columns, Column{name, event.FieldNamed(source), source})
	}
	return columns
}

func (s *Shape) checkColumns(p *ask.Params) {
	seen := map[string]bool{}
	for _, c := range s.columns {
		if seen[c.Name] {
			p.Fail("rename", "must leave every field a name of its own, %q is there twice", c.Name)
		}
		seen[c.Name] = true
	}
	for from := range s.Rename {
		if s.Fields != nil && !slices.Contains(s.Fields, from) {
			p.Fail("rename", "names %q, which is not among the fields", from)
		}
	}
}

// Columns are the fields of what is sent, in their order.
func (s *Shape) Columns() []Column { return s.columns }

// Takes says whether an event, as it is stored, goes to the destination.
func (s *Shape) Takes(e *event.Event) bool {
	if len(s.Events) > 0 && !slices.ContainsFunc(s.Events, func(sel ask.Selector) bool { return sel.Selects(e) }) {
		return false
	}
	return s.Filters.Hold(e) && s.sampled(e)
}

// sampled is the same for every event of a user, on every machine, always.
func (s *Shape) sampled(e *event.Event) bool {
	if s.Sample >= 1 {
		return true
	}
	user := e.EventID
	for _, id := range []string{e.UserID, e.AnonymousID, e.SessionID} {
		if id != "" {
			user = id
			break
		}
	}
	sum := sha256.Sum256([]byte(user))
	return float64(binary.BigEndian.Uint64(sum[:])) < s.Sample*math.MaxUint64
}

// Make changes an event into what may leave. The salt is that of the definition, opened.
func (s *Shape) Make(e *event.Event, salt string) {
	for _, name := range s.Remove {
		change(e, name, func(event.Value) event.Value { return event.Value{} })
	}
	for _, name := range s.Hash {
		change(e, name, func(v event.Value) event.Value { return event.TextValue(hash(ask.Text(v), salt)) })
	}
	if to := s.RenameEvents[e.EventType]; to != "" {
		if e.EventName == e.EventType {
			e.EventName = to
		}
		e.EventType = to
	}
}

// hash is a keyed one: without the salt nobody can try out names to see whose it is.
func hash(text, salt string) string {
	mac := hmac.New(sha256.New, []byte(salt))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}
