package report

import (
	"context"
	"slices"
	"sort"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// dayPages is what a day's events say of pages. Codes are those of page_url.
type dayPages struct {
	pages                     []dayPage // by code, ascending
	visits                    []dayVisit
	leastSession, mostSession uint32 // of the visits
	users                     int    // for how many users there is room
}

// dayPage is a page on a day.
type dayPage struct {
	code uint32
	visitCount
	views          int
	users          []uint32 // each at least once
	load, duration mean
	title          uint32     // code
	titled         event.Time // when the title was seen
}

// visitCount is how many visits began on a page, ended there, and saw nothing else.
type visitCount struct{ entries, exits, bounces int }

func (c visitCount) plus(o visitCount) visitCount {
	return visitCount{c.entries + o.entries, c.exits + o.exits, c.bounces + o.bounces}
}

// dayVisit is a session's page views on a day.
type dayVisit struct {
	session, firstPage, lastPage uint32
	once                         bool // it has one view
}

// add adds a later day, but for its users.
func (p *dayPage) add(later *dayPage) {
	p.visitCount = p.plus(later.visitCount)
	p.views += later.views
	p.load.join(later.load)
	p.duration.join(later.duration)
	if later.title != 0 {
		p.title, p.titled = later.title, later.titled
	}
}

// from are the pages from a code on.
func (d *dayPages) from(code uint32) []dayPage {
	return d.pages[sort.Search(len(d.pages), func(i int) bool { return d.pages[i].code >= code }):]
}

// Bytes is what it takes, about.
func (d *dayPages) Bytes() int64 { return int64(128*len(d.pages) + 16*len(d.visits) + 4*d.users + 128) }

// pagesByDay is what each day says of pages. What whole days say of all events
// is kept with them.
func pagesByDay(ctx context.Context, r *reading) ([]*dayPages, error) {
	days := make([]*dayPages, len(r.days))
	return days, parallelWith(ctx, len(days), func(int) *pageReader { return newPageReader(r) }, func(_ context.Context, reader *pageReader, i int) error {
		_, _, whole := r.inRange(r.days[i])
		if !whole || !r.unfiltered() {
			days[i] = reader.read(i)
			return nil
		}
		kept := r.days[i].Extract("pages", []string{"page_url", "page_title"}, func() columns.Extract { return reader.read(i) })
		days[i] = kept.(*dayPages)
		return nil
	})
}

// pageReader reads days, one after the other, in room that it keeps.
type pageReader struct {
	*reading
	urls, titles []event.Value
	all          []dayPage // by code; zero between days

	pages, codes, sessions []uint32 // of a run's rows; the page is 0 where a row does not count
	place                  bySession[uint32]
	open                   []openVisit
}

// openVisit is a visit of which more may follow. Views with equal times stand
// in the order of their pages' names, however the events arrived.
type openVisit struct {
	dayVisit
	first, last uint32
}

func newPageReader(r *reading) *pageReader {
	return &pageReader{reading: r, urls: r.values("page_url"), titles: r.values("page_title")}
}

func (r *pageReader) read(dayIndex int) *dayPages {
	if r.all == nil {
		r.all = make([]dayPage, len(r.urls))
	}
	found := &dayPages{}
	if run, ok := r.enter(dayIndex, pageView); ok {
		r.addUsers(found, dayIndex, run)
		r.addVisits(found, dayIndex, run)
		r.eachSent("load_time", dayIndex, run, func(_ int, p *dayPage, v event.Value) { p.load.add(v) })
		r.addDurations(dayIndex, run)
		r.addTitles(dayIndex, run)
	}
	if run, ok := r.enter(dayIndex, pageLeave); ok {
		r.addDurations(dayIndex, run)
	}
	for code := range r.all {
		if p := &r.all[code]; p.views > 0 || p.duration.n > 0 {
			p.code = uint32(code)
			found.pages = append(found.pages, *p)
			*p = dayPage{}
		}
	}
	found.pages = slices.Clip(found.pages)
	return found
}

// enter finds the rows of a type and their pages.
func (r *pageReader) enter(dayIndex int, eventType string) (run columns.Run, ok bool) {
	d := r.days[dayIndex]
	n, ok := d.RunOf(eventType)
	if !ok {
		return run, false
	}
	run = d.Runs()[n]
	r.pages = r.column(dayIndex, "page_url").Codes.Unpack(r.pages[:0], run.Lo, run.Hi)
	for i, counts := range r.keep(dayIndex, run.Lo, run.Hi, r.match) {
		if !counts {
			r.pages[i] = 0
		}
	}
	return run, true
}

// addUsers counts views, and puts down who viewed each page.
func (r *pageReader) addUsers(found *dayPages, dayIndex int, run columns.Run) {
	for _, page := range r.pages {
		r.all[page].views++
	}
	r.all[0].views = 0 // no page
	for code := range r.all {
		found.users += r.all[code].views
	}
	room := make([]uint32, found.users)
	for code := range r.all {
		n := r.all[code].views
		r.all[code].users, room = room[:0:n], room[n:]
	}
	who := r.units(dayIndex)
	for i, page := range r.pages {
		if page == 0 {
			continue
		}
		p := &r.all[page]
		if user, has := who.of(run.Lo + i); has && (len(p.users) == 0 || p.users[len(p.users)-1] != user) {
			p.users = append(p.users, user)
		}
	}
}

func (r *pageReader) addVisits(found *dayPages, dayIndex int, run columns.Run) {
	d := r.days[dayIndex]
	r.sessions = d.Sessions().Unpack(r.sessions[:0], run.Lo, run.Hi)
	r.place.makeRoom(r.sessions)
	times := d.Times()[run.Lo:run.Hi]
	r.open = r.open[:0]
	for i, page := range r.pages {
		if page == 0 {
			continue
		}
		place := &r.place.sessions[r.sessions[i]-r.place.base]
		if *place == 0 {
			r.open = append(r.open, openVisit{dayVisit{r.sessions[i], page, page, true}, times[i], times[i]})
			*place = uint32(len(r.open))
			continue
		}
		r.open[*place-1].add(page, times[i], r.urls)
	}
	r.close(found)
}

// add adds a view that is not the visit's first to come.
func (v *openVisit) add(page, at uint32, urls []event.Value) {
	if at < v.first || at == v.first && urls[page].Text < urls[v.firstPage].Text {
		v.first, v.firstPage = at, page
	}
	if at > v.last || at == v.last && urls[page].Text > urls[v.lastPage].Text {
		v.last, v.lastPage = at, page
	}
	v.once = false
}

// close counts the visits of a day, and leaves room for the next one's.
func (r *pageReader) close(found *dayPages) {
	found.visits = make([]dayVisit, len(r.open))
	for i := range r.open {
		v := r.open[i].dayVisit
		found.visits[i] = v
		if i == 0 {
			found.leastSession, found.mostSession = v.session, v.session
		}
		found.leastSession, found.mostSession = min(found.leastSession, v.session), max(found.mostSession, v.session)
		r.place.sessions[v.session-r.place.base] = 0
		r.all[v.firstPage].entries++
		r.all[v.lastPage].exits++
		if v.once {
			r.all[v.firstPage].bounces++
		}
	}
}

func (r *pageReader) addDurations(dayIndex int, run columns.Run) {
	r.eachSent("duration", dayIndex, run, func(_ int, p *dayPage, v event.Value) { p.duration.add(v) })
}

// addTitles finds the newest title of each page.
func (r *pageReader) addTitles(dayIndex int, run columns.Run) {
	titles := &r.column(dayIndex, "page_title").Codes
	r.eachSent("page_title", dayIndex, run, func(row int, p *dayPage, v event.Value) {
		at := timeOf(r.days[dayIndex], row)
		if p.title == 0 || at > p.titled || at == p.titled && v.Text < r.titles[p.title].Text {
			p.title, p.titled = titles.At(row), at
		}
	})
}

// eachSent calls visit for the rows that have a value of a column.
func (r *pageReader) eachSent(name string, dayIndex int, run columns.Run, visit func(row int, p *dayPage, v event.Value)) {
	column := r.column(dayIndex, name)
	if len(column.Values) <= 1 { // nobody sent any
		return
	}
	r.codes = column.Codes.Unpack(r.codes[:0], run.Lo, run.Hi)
	for i, code := range r.codes {
		if code != 0 && r.pages[i] != 0 {
			visit(run.Lo+i, &r.all[r.pages[i]], column.Values[code])
		}
	}
}
