package columns

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"golang.org/x/sync/errgroup"
)

// flight is one reading of a column of a day, which all who ask for it wait for.
type flight struct {
	key        flightKey
	day        *edition // the newest version when it began; later rows bring their codes with them
	dictionary *dictionary
	follow     *follow
	read       *harvest // after done; nil when no raw event is needed
	err        error    // after done
	done       chan struct{}
}

type flightKey struct {
	day  int32
	name string
}

// want is a column that somebody needs: names[name] of days[day].
type want struct{ day, name int }

// chunk is how many codes are read at a time.
const chunk = 4 << 20

// columns are the days' columns by day and name; those that are not in memory
// are read from the store, each batch once for all names.
func (t *Table) columns(ctx context.Context, days []*edition, names []string) ([][]*Column, error) {
	t.tables.metrics.uses.Add(float64(len(days) * len(names)))
	out := make([][]*Column, len(days))
	for lo := 0; lo < len(days); {
		hi := lo + 1
		for codes := days[lo].Len(); hi < len(days) && (codes+days[hi].Len())*len(names) <= chunk; hi++ {
			codes += days[hi].Len()
		}
		for i := lo; i < hi; i++ {
			out[i] = make([]*Column, len(names))
		}
		if err := t.gather(ctx, days[lo:hi], names, out[lo:hi]); err != nil {
			return nil, fmt.Errorf("columns %q of project %s: %w", names, t.project, err)
		}
		lo = hi
	}
	return out, ctx.Err()
}

// gather fills out, from memory as far as possible.
func (t *Table) gather(ctx context.Context, days []*edition, names []string, out [][]*Column) error {
	for {
		wants := missing(days, names, out)
		if len(wants) == 0 {
			return nil
		}
		flights, mine := t.board(days, names, wants)
		if len(mine) > 0 {
			err := t.fly(ctx, mine)
			t.tables.cache.shrink()
			if err != nil {
				return err
			}
		}
		for i, w := range wants {
			select {
			case <-flights[i].done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if flights[i].err == nil { // else it was another's: try ourselves
				out[w.day][w.name] = t.landed(flights[i], days[w.day])
			}
		}
	}
}

// missing takes what is in memory and says what is not.
func missing(days []*edition, names []string, out [][]*Column) (wants []want) {
	for i, day := range days {
		for j, name := range names {
			if out[i][j] != nil {
				continue
			}
			if h := day.heldColumn(name); h != nil {
				out[i][j] = h.column
			} else {
				wants = append(wants, want{i, j})
			}
		}
	}
	return wants
}

// board finds the flight for each want; those that nobody flies yet are mine.
// From here on rows that come to these days bring these columns' codes, so
// rows that came before must be in a Day first.
func (t *Table) board(days []*edition, names []string, wants []want) (flights, mine []*flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.ContainsFunc(wants, func(w want) bool { return len(t.byNumber[days[w.day].Number].tail) > 0 }) {
		t.merge()
	}
	t.batches.show()
	for _, w := range wants {
		key := flightKey{days[w.day].Number, names[w.name]}
		f := t.flights[key]
		switch {
		case t.byNumber[key.day].day.quiet != nil:
			f = t.departAlone(key, days[w.day])
			mine = append(mine, f)
		case f == nil:
			f = t.depart(key)
			mine = append(mine, f)
		}
		flights = append(flights, f)
	}
	return flights, mine
}

func (t *Table) depart(key flightKey) *flight {
	h := t.byNumber[key.day]
	f := &flight{key: key, day: h.day, done: make(chan struct{})}
	at := slices.IndexFunc(h.follow, func(f *follow) bool { return f.dictionary.name == key.name })
	if at >= 0 { // the newest version has it, an older one is asked for
		f.follow = h.follow[at]
	} else {
		dictionary := t.dictionary(key.name)
		f.follow = &follow{dictionary: dictionary, resident: t.resident(key.day, dictionary)}
		h.follow = append(h.follow, f.follow)
	}
	f.follow.loading = true
	f.dictionary = f.follow.dictionary
	t.flights[key] = f
	return f
}

// departAlone is for an edition that only older Views show, of a day that is
// quiet by now: no rows come that could bring their codes.
func (t *Table) departAlone(key flightKey, day *edition) *flight {
	return &flight{key: key, day: day, dictionary: t.dictionary(key.name), done: make(chan struct{})}
}

// fly reads the columns of these flights and lands them.
func (t *Table) fly(ctx context.Context, mine []*flight) (err error) {
	landed := false
	defer func() {
		if !landed { // a panic of the store must not leave others waiting
			t.land(mine, fmt.Errorf("reading was broken off"))
		}
	}()
	start := time.Now()
	err = t.readFlights(ctx, mine)
	t.tables.metrics.load.Observe(time.Since(start).Seconds())
	t.land(mine, err)
	landed = true
	return err
}

// land publishes what was read, or gives up.
func (t *Table) land(mine []*flight, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range mine {
		h := t.byNumber[f.key.day]
		if f.follow == nil { // alone
			f.err = err
			t.release(f.key.name)
			close(f.done)
			continue
		}
		delete(t.flights, f.key)
		if !slices.Contains(h.follow, f.follow) { // the day was built anew meanwhile
			f.err = err
			close(f.done)
			continue
		}
		f.follow.loading = false
		if f.err = err; err == nil {
			t.publishLanded(f, h.day)
		} else if h.day.heldColumn(f.key.name) == nil {
			t.unfollow(h, f.follow)
		}
		close(f.done)
	}
}

// publishLanded makes the flight's column known in one version of its day.
func (t *Table) publishLanded(f *flight, d *edition) *Column {
	if h := d.heldColumn(f.key.name); h != nil {
		return h.column
	}
	codes := d.complete(f.dictionary, f.read, func(n int) { t.tables.metrics.gone.Add(float64(n)) })
	column := f.dictionary.column(codes)
	d.publish(f.key.name, &held{column, f.follow.resident})
	if d == t.byNumber[f.key.day].day {
		t.tables.cache.count(f.follow.resident, columnBytes(codes))
		t.tables.metrics.loads.Inc()
	}
	return column
}

// landed is the flight's column for whatever version of the day somebody looks at.
func (t *Table) landed(f *flight, d *edition) *Column {
	if h := d.heldColumn(f.key.name); h != nil {
		return h.column
	}
	codes := d.complete(f.dictionary, f.read, func(int) {})
	column := f.dictionary.column(codes)
	switch {
	case f.follow == nil:
		d.publish(f.key.name, &held{column, &resident{}})
	case d.table.isOld(d): // else it was evicted at once: there is no room for it
		d.publish(f.key.name, &held{column, f.follow.resident})
	}
	return column
}

// isOld is true for a version of a day that only old Views show.
func (t *Table) isOld(d *edition) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byNumber[d.Number].day != d
}

// readFlights reads the batches of the flights' days once, for all their columns.
func (t *Table) readFlights(ctx context.Context, mine []*flight) error {
	harvests := make(map[int32]*harvest)
	for _, f := range mine {
		if f.key.name == typeColumn {
			continue
		}
		h := harvests[f.key.day]
		if h == nil {
			h = newHarvest(f.day)
			harvests[f.key.day] = h
		}
		f.read = h
		if held := f.day.holds(f.dictionary); held != nil {
			h.takeColumn(f.dictionary, f.day, held.column.Codes.four)
		} else {
			h.expect(f.dictionary)
		}
	}
	return t.read(ctx, harvests)
}

const (
	batchesAtOnce = 256 // of one call of the store
	readers       = 2
)

// read fills the harvests from the store.
func (t *Table) read(ctx context.Context, harvests map[int32]*harvest) error {
	numbers := batchesOf(harvests)
	names := t.batches.shown.Load()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for some := range slices.Chunk(numbers, batchesAtOnce) {
		group.Go(func() error { return t.readBatches(ctx, names, some, harvests) })
	}
	return group.Wait()
}

func (t *Table) readBatches(ctx context.Context, names *nameList, numbers []uint32, harvests map[int32]*harvest) error {
	ids := make([]string, len(numbers))
	number := make(map[string]uint32, len(numbers))
	for i, n := range numbers {
		ids[i] = unpack(names.at(n))
		number[ids[i]] = n
	}
	return t.tables.reader.EventsOfBatches(ctx, t.project, ids, func(e *event.Event) error {
		if h := harvests[e.Timestamp.Day()]; h != nil {
			h.take(e, number[e.BatchID])
		}
		return nil
	})
}

// batchesOf are the batches to be read for these days, each once.
func batchesOf(harvests map[int32]*harvest) (numbers []uint32) {
	for _, h := range harvests {
		if len(h.expected) == 0 {
			continue
		}
		for i, s := range h.batches {
			if s.size > 0 {
				numbers = append(numbers, h.first+uint32(i))
			}
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}
