package beside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// allColumns bring into memory what sizes are given of: page, session and a property of all days.
var allColumns = []Question{
	{Route: "trends", Body: always(`{` + last90 + `, "interval": "month", "series": [{"event": "*", "metric": "sessions"}], "breakdown": {"property": "page_path", "limit": 5}}`)},
	{Route: "trends", Body: always(`{` + last90 + `, "series": [{"event": "*"}], "breakdown": "platform"}`)},
}

// base is the part of a sealed day that every one has: user, time and type.
const base = "base"

// sized are the parts in which those, session, page and the property are.
var sized = []string{base, "sessions", "column:page_path", "column:properties.platform"}

// stored is what an event takes on disk in what is derived from it.
func (b *Bench) stored(ctx context.Context) ([]Figure, error) {
	clickhouse, err := b.clickHouse(ctx)
	if err != nil {
		return nil, err
	}
	theirs, err := StoredByClickHouse(clickhouse, "user_id", "ts", "event", "page", "session_id", "platform")
	if err = errors.Join(err, clickhouse.Close()); err != nil {
		return nil, err
	}
	parts := map[string]float64{}
	err = b.segments(ctx, nil, func(s *store.Segment) { parts[s.Name] += float64(len(s.Data)) / float64(b.Set.Events) })
	if err != nil {
		return nil, err
	}
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		b.say("  %s: %.3f bytes an event", name, parts[name])
		if slices.Contains(sized, name) {
			sum += parts[name]
		}
	}
	for _, name := range sized {
		if parts[name] == 0 {
			return nil, fmt.Errorf("the store has no segments %s", name)
		}
	}
	return []Figure{{
		Name: "stored for user, time, type, page, session, one property", Unit: "B an event",
		Ours: []float64{sum}, Beside: "clickhouse", Theirs: []float64{theirs}, Goal: 1,
	}}, nil
}

// segments calls yield for the segments of these names in the store, or for all.
func (b *Bench) segments(ctx context.Context, names []string, yield func(*store.Segment)) error {
	from, err := sqlite.Open(ctx, filepath.Join(b.Dir, "store"))
	if err != nil {
		return err
	}
	err = from.Segments(ctx, Project, math.MinInt32, math.MaxInt32, names, func(s *store.Segment) error {
		yield(s)
		return nil
	})
	return errors.Join(err, from.Close())
}

// memory is the heap of a service that has those columns of all days in memory.
func (b *Bench) memory(ctx context.Context) (figures []Figure, err error) {
	s, err := StartServer(ctx, QueryOnly, b.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, q := range allColumns { // nothing else: a funnel would leave the order of its rows in memory, too
		if _, _, err := s.answer(ctx, q); err != nil {
			return nil, err
		}
	}
	heap, err := s.heap(ctx)
	return []Figure{{
		Name: "memory for the same, all of the service's heap", Unit: "B an event",
		Ours: []float64{heap / float64(b.Set.Events)}, Goal: 16,
	}}, err
}

var heapAlloc = regexp.MustCompile(`# HeapAlloc = (\d+)`)

// heap is the bytes in use after a collection.
func (s *Server) heap(ctx context.Context) (bytes float64, err error) {
	for range 2 { // pools let go of what they have at the second one
		if bytes, err = s.number(ctx, "/debug/pprof/heap?gc=1&debug=1", heapAlloc); err != nil {
			return 0, err
		}
	}
	if bytes == 0 {
		return 0, fmt.Errorf("the heap profile at %s says nothing of HeapAlloc", s.Ops)
	}
	return bytes, nil
}

// metric is a counter's value, 0 while there is none.
func (s *Server) metric(ctx context.Context, name string) (float64, error) {
	return s.number(ctx, "/metrics", regexp.MustCompile(`(?m)^`+name+` (\S+)$`))
}

// number is the first one that the expression finds on a page of the operations server; 0 if none.
func (s *Server) number(ctx context.Context, page string, in *regexp.Regexp) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Ops+page, nil)
	if err != nil {
		return 0, err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	found := in.FindSubmatch(text)
	if found == nil {
		return 0, nil
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
