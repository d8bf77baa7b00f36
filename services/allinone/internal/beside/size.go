package beside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

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
	ours, err := b.segmentBytes(ctx)
	return []Figure{{
		Name: "stored for user, time, type, page, session, one property", Unit: "B an event",
		Ours: []float64{ours / float64(b.Set.Events)}, Beside: "clickhouse", Theirs: []float64{theirs}, Goal: 1,
	}}, err
}

func (b *Bench) segmentBytes(ctx context.Context) (sum float64, err error) {
	from, err := sqlite.Open(ctx, filepath.Join(b.Dir, "store"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	byName := map[string]int{}
	err = from.Segments(ctx, Project, math.MinInt32, math.MaxInt32, nil, func(s *store.Segment) error {
		byName[s.Name] += len(s.Data)
		return nil
	})
	for name, bytes := range byName {
		b.say("  segments %s: %.3f bytes an event", name, float64(bytes)/float64(b.Set.Events))
		sum += float64(bytes)
	}
	return sum, err
}

// memory is the heap of a service that has those columns of all days in memory.
func (b *Bench) memory(ctx context.Context) (figures []Figure, err error) {
	s, err := b.server(ctx, QueryOnly, b.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, body := range []string{
		`{` + last90 + `, "series": [{"event": "*", "metric": "sessions"}], "breakdown": "page_path"}`,
		`{` + last90 + `, "series": [{"event": "*"}], "breakdown": "platform"}`,
	} {
		if _, _, err := s.Ask(ctx, "trends", body); err != nil {
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
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Ops+"/debug/pprof/heap?gc=1&debug=1", nil)
		if err != nil {
			return 0, err
		}
		response, err := s.http.Do(request)
		if err != nil {
			return 0, err
		}
		text, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return 0, err
		}
		found := heapAlloc.FindSubmatch(text)
		if found == nil {
			return 0, fmt.Errorf("the heap profile of %s says nothing of HeapAlloc", s.Ops)
		}
		if bytes, err = strconv.ParseFloat(string(found[1]), 64); err != nil {
			return 0, err
		}
	}
	return bytes, nil
}
