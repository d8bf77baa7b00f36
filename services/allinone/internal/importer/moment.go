package importer

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// moments reads times as files write them.
type moments struct {
	layouts []string
	zone    *time.Location
}

// layouts are tried in this order; those that could be read in two ways, such
// as 01/02/2024, are not among them: -time-layout names them.
var layouts = []string{
	time.RFC3339Nano,
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 Z07:00",
	"2006-01-02 15:04:05.999999999 -0700",
	"2006-01-02 15:04:05.999999999 -0700 MST",
	"2006-01-02 15:04:05.999999999 MST",
	"2006-01-02 15:04",
	"2006-01-02T15:04",
	"2006/01/02 15:04:05",
	"2006-01-02",
	"20060102T150405Z0700",
	"20060102T150405",
	time.RFC1123Z,
	time.RFC1123,
	"02/Jan/2006:15:04:05 -0700",
}

func newMoments(layout, zone string) (*moments, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("-timezone must be an IANA name such as Europe/Berlin, got %q", zone)
	}
	m := &moments{layouts: layouts, zone: loc}
	if layout != "" {
		m.layouts = append([]string{layout}, layouts...)
	}
	return m, nil
}

// millis reads one time as epoch milliseconds; a time without a zone is in the file's.
func (m *moments) millis(text string) (int64, error) {
	text = strings.TrimSpace(text)
	if n, ok := epoch(text); ok {
		return n, nil
	}
	for i, layout := range m.layouts {
		t, err := time.ParseInLocation(layout, text, m.zone)
		if err != nil {
			continue
		}
		if i > 0 { // most files keep to one layout: try it first next time
			m.layouts = append([]string{layout}, append(append([]string{}, m.layouts[:i]...), m.layouts[i+1:]...)...)
		}
		return t.UnixMilli(), nil
	}
	return 0, fmt.Errorf("the time %q is in no known layout: name it with -time-layout, written as Go writes 2006-01-02 15:04:05", text)
}

// epoch reads a bare number as seconds, milliseconds, microseconds or
// nanoseconds since 1970, by its size: all of them mean times after 1973.
func epoch(text string) (int64, bool) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 1e8 || math.IsInf(n, 0) {
		return 0, false
	}
	switch {
	case n < 1e11:
		return int64(math.Round(n * 1000)), true
	case n < 1e14:
		return int64(n), true
	case n < 1e17:
		return int64(n / 1e3), true
	}
	return int64(n / 1e6), true
}
