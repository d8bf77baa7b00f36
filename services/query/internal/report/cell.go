package report

import (
	"github.com/maidian/maidian/pkg/csvcell"
	"github.com/maidian/maidian/pkg/event"
)

// csvCell is a field of an event as it stands in a CSV cell.
func csvCell(f *event.Field, e *event.Event) string {
	switch f.Kind {
	case event.Num:
		return csvcell.Guard(string(f.NumberOf(e)))
	case event.Moment:
		if t := f.TimeOf(e); t != 0 {
			return t.String()
		}
		return ""
	case event.Flag:
		if f.FlagOf(e) {
			return "true"
		}
		return "false"
	}
	return csvcell.Guard(f.TextOf(e))
}
