package event

import (
	"encoding/json"
	"math"
	"strings"
)

// Hour of a moment since 1970-01-01, in UTC: what the accounting adds up by.
func (t Time) Hour() int32 { return int32(t / hour) }

// TimeOfHour is the moment at which an hour begins.
func TimeOfHour(h int32) Time { return Time(h) * hour }

const hour = 3600_000

// Source says of events that stand together in a message whose they are, and
// when they came: so they can be accounted for even when they cannot be read.
type Source struct {
	Project string `json:"project"`
	Key     string `json:"key"`  // the write key's id
	Hour    int32  `json:"hour"` // of their receipt
	Events  int    `json:"events"`
}

// Accepted is the outcome of a Tally that counts events answered with 200. The
// other outcomes are codes of problems.
const Accepted = "accepted"

// Tally is what one collector has counted so far: of the events that came with
// a key in an hour, those that had this outcome. It only grows.
type Tally struct {
	Collector string `json:"collector"` // the process, not the machine
	Project   string `json:"project"`
	Key       string `json:"key"`
	Hour      int32  `json:"hour"`
	Outcome   string `json:"outcome"`
	Events    int    `json:"events"`
}

// What an SDK says in an event's properties of the events around it. Anybody
// may write anything there: what makes no sense counts as nothing.
const (
	SequenceProperty = "$sequence" // the event's number among those of its device: 1, 2, 3 …
	DroppedProperty  = "$dropped"  // events that the device dropped before this one, by reason
)

const (
	mostSequence = 1 << 31 // a number above it is none
	mostDropped  = 1 << 20 // before one event: no queue of a device is so long
)

// OtherDrops is the reason that those stand under which this version does not know.
const OtherDrops = "other"

// dropReasons are those for which an SDK drops events unasked. What was
// rejected is none: the answer has said it.
var dropReasons = [...]string{"full", "expired", "too_large"}

// Dropped are the events that the device had to drop before this one, by
// reason; nil when the event says nothing of it.
func (e *Event) Dropped() map[string]int {
	if !strings.Contains(e.Properties, DroppedProperty) { // as nearly always
		return nil
	}
	return DroppedOf(Property(e.Properties, DroppedProperty))
}

// DroppedOf reads the value of the property.
func DroppedOf(v Value) (dropped map[string]int) {
	if v.Kind != Compound || v.Text[0] != '{' {
		return nil
	}
	EachProperty(v.Text, func(reason string, n Value) bool {
		if events := wholeNumber(n, mostDropped); events > 0 {
			if dropped == nil {
				dropped = make(map[string]int, len(dropReasons))
			}
			dropped[knownReason(reason)] += events
		}
		return true
	})
	return dropped
}

func knownReason(reason string) string {
	for _, known := range dropReasons {
		if reason == known {
			return known
		}
	}
	return OtherDrops
}

// SequenceOf reads the value of the property; 0 means that it is none.
func SequenceOf(v Value) uint32 { return uint32(wholeNumber(v, mostSequence)) }

// wholeNumber is v when it is one from 1 to most, else 0.
func wholeNumber(v Value, most int) int {
	if v.Kind != Numeric || v.Number < 1 || v.Number > float64(most) || v.Number != math.Trunc(v.Number) {
		return 0
	}
	return int(v.Number)
}

// SourceOf is the source of the event at a position in the message; the zero
// Source where the header does not say.
func (h *Header) SourceOf(position int) Source {
	for _, s := range h.Sources {
		if position < s.Events {
			return s
		}
		position -= s.Events
	}
	return Source{}
}

// Runs are the sources when they account for all events, else one that says
// nothing of them but their number.
func (h *Header) Runs() []Source {
	sum := 0
	for _, s := range h.Sources {
		if s.Events < 1 || s.Events > h.Events-sum {
			sum = -1 // this header was not written by a collector
			break
		}
		sum += s.Events
	}
	if len(h.Sources) > 0 && sum == h.Events {
		return h.Sources
	}
	return []Source{{Events: max(h.Events, 1)}}
}

// appendList writes a member of the header, or nothing when the list is empty.
func appendList[T any](dst []byte, name string, list []T) []byte {
	if len(list) == 0 {
		return dst
	}
	text, err := json.Marshal(list)
	if err != nil { // numbers and text can be written
		panic(err)
	}
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	return append(dst, text...)
}

// listOf reads such a member. What only the accounting wants to know does not
// make a message unreadable: a list that is none counts as missing.
func listOf[T any](text string) []T {
	var list []T
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil
	}
	return list
}
