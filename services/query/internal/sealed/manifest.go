package sealed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
	"github.com/maidian/maidian/services/query/internal/segment"
)

// Manifest is what a start needs to know of a project: with its sealed days and
// its open batches, all is in that the journal named before a moment.
type Manifest struct {
	Before int64  `json:"before"` // milliseconds since 1970
	Days   []Day  `json:"days"`   // ascending
	Open   []Open `json:"open"`
}

// Day is a sealed day of a manifest.
type Day struct {
	Number      int32  `json:"number"`
	Rows        int    `json:"rows"`
	Fingerprint uint64 `json:"fingerprint,string"`
	Nameless    int    `json:"nameless"`       // rows to which the client gave no session
	Batches     uint64 `json:"batches,string"` // the sum of BatchSum over the batches with rows on the day
}

// Complete says of a batch that all its events are in, however many these are.
const Complete = -1

// Open is a batch that has rows on days that are not sealed, or that came short.
type Open struct {
	ID      string `json:"id"`
	Applied int    `json:"applied"` // how many of its events are in
}

// BatchSum is a batch's part in the sum by which the days' batches are compared
// with those of the journal, in whatever order they are gone through.
func BatchSum(id string) uint64 { return xxhash.Sum64String(id) }

// DayOf is what a manifest says of a content, which must have all parts.
func (c *Content) DayOf() Day {
	d := Day{Number: c.Base.Day.Number, Rows: c.Base.Day.Rows, Fingerprint: c.Base.Day.Fingerprint}
	for _, b := range c.Batches {
		d.Batches += BatchSum(b.ID)
	}
	for _, session := range c.Sessions.Of {
		if session == segment.NoSession {
			d.Nameless++
		}
	}
	return d
}

// Segment is how the day's parts name it.
func (d *Day) Segment(project string) segment.Day {
	return segment.Day{Project: project, Number: d.Number, Rows: d.Rows, Fingerprint: d.Fingerprint}
}

const (
	manifestName = "manifest"
	manifestDay  = math.MinInt32 // it stands before all days that events can have, so that no day is cleared or erased with it
)

// PutManifest replaces the project's manifest.
func (s *Shelf) PutManifest(ctx context.Context, project string, m *Manifest) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the manifest of project %s: %w", project, err)
	}
	day := segment.Day{Project: project, Number: manifestDay}
	return s.put(ctx, project, manifestDay, manifestName, segment.Seal(day, manifestName, body))
}

// Manifest is the project's, or nil if there is none that can be used.
func (s *Shelf) Manifest(ctx context.Context, project string) (*Manifest, error) {
	day := segment.Day{Project: project, Number: manifestDay}
	parts, problems, err := readParts(ctx, s.Store, day, []string{manifestName})
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	problem := problems[manifestName]
	if problem == nil {
		problem = json.Unmarshal(parts[manifestName].Content(), m)
	}
	if problem != nil {
		if !errors.Is(problem, errMissing) {
			s.report(day, map[string]error{manifestName: problem})
		}
		return nil, nil
	}
	return m, nil
}
