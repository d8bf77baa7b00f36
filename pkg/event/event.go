// Package event is the wire format: what an event is, how strangers' JSON
// becomes one or is refused with reasons, and how events travel and are kept.
package event

import (
	"encoding/json"
	"strconv"
	"time"
)

// Time is milliseconds since 1970-01-01T00:00:00Z. Zero means absent.
type Time int64

// Earliest and Latest end what clients' times may be: the years 1 to 9999, which
// every program reads that is given a time as text.
const (
	Earliest Time = -62135596800000
	Latest   Time = 253402300799999
)

// TimeOf cuts t to milliseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Std is t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Day is the UTC day on which t falls, counted from 1970-01-01.
func (t Time) Day() int32 {
	const day = 24 * 60 * 60 * 1000
	d := int64(t) / day
	if int64(t)%day < 0 {
		d--
	}
	return int32(d)
}

// TimeFormat is RFC 3339 in UTC with milliseconds, as times go out.
const TimeFormat = "2006-01-02T15:04:05.000Z"

func (t Time) String() string { return t.Std().Format(TimeFormat) }

// MarshalJSON writes RFC 3339 with milliseconds, and null for the absent time.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return t.Std().AppendFormat(nil, `"`+TimeFormat+`"`), nil
}

// UnmarshalJSON reads what MarshalJSON wrote, and a number of milliseconds.
func (t *Time) UnmarshalJSON(text []byte) error {
	if len(text) == 0 || text[0] != '"' {
		return json.Unmarshal(text, (*int64)(t))
	}
	at, err := time.Parse(`"`+time.RFC3339+`"`, string(text))
	if err == nil {
		*t = TimeOf(at)
	}
	return err
}

// Number is the JSON text of a number, so that its digits stay as sent. Empty means absent.
type Number string

// Float is the nearest float64, and whether there is a number at all.
func (n Number) Float() (float64, bool) {
	f, err := strconv.ParseFloat(string(n), 64)
	return f, err == nil
}

// Event is one thing that somebody did. Empty text, absent numbers and zero
// times mean that the field is not there.
type Event struct {
	Project     string
	EventID     string // chosen by the client, so that a retry is the same event
	EventType   string
	EventName   string
	UserID      string
	AnonymousID string
	SessionID   string

	Timestamp       Time // when it happened, corrected for the device's skew
	ClientTimestamp Time // as the client sent it
	ReceivedAt      Time
	StoredAt        Time

	PageURL          string
	PageTitle        string
	Referrer         string
	UserAgent        string
	ScreenResolution string
	ViewportSize     string
	ElementID        string
	ElementClass     string
	ElementText      string
	XPosition        Number // CSS px
	YPosition        Number // CSS px
	ScrollDepth      Number // percent
	Duration         Number // seconds
	LoadTime         Number // seconds

	Properties string // compact JSON object as sent; empty when there is none

	IPAddress      string
	Country        string
	Region         string
	City           string
	Browser        string
	BrowserVersion string
	OS             string
	OSVersion      string
	DeviceType     string
	IsBot          bool
	PageHost       string
	PagePath       string
	UTMSource      string
	UTMMedium      string
	UTMCampaign    string
	UTMTerm        string
	UTMContent     string
	Channel        string
	SDK            string

	BatchID  string // the message that brought it
	Position int    // its place in that message
}

// Lacks is the name of a field that is missing and without which an event
// cannot be stored; empty when all are there.
func (e *Event) Lacks() string {
	switch {
	case e.Project == "":
		return "project"
	case e.EventID == "":
		return "event_id"
	case e.EventType == "":
		return "event_type"
	case e.Timestamp == 0:
		return "timestamp"
	}
	return ""
}
