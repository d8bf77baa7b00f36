package columns

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/sealed"
	"github.com/maidian/maidian/services/query/internal/segment"
	"golang.org/x/sync/errgroup"
)

// quiet is what an edition has of which all rows are sealed: pieces, each of
// which is read on use and may leave memory at any time.
type quiet struct {
	day     segment.Day
	sealed  sealed.Day
	ongoing atomic.Pointer[[]ongoing] // derived sessions that may reach into the next day; nil: see knowOngoing

	mu      sync.Mutex
	pieces  map[pieceKey]*piece
	retired bool // only older Views show the edition: nothing is kept of it
}

// pieceKey names a piece of a quiet edition; the column is canonical.
type pieceKey struct {
	kind   pieceKind
	column string
}

type pieceKind uint8

const (
	corePiece pieceKind = iota
	sessionsPiece
	refsPiece
	columnPiece
)

// piece never changes once done is closed. Who holds it keeps it, whatever leaves memory.
type piece struct {
	key      pieceKey
	done     chan struct{}
	err      error
	resident *resident

	core     *core
	sessions Codes
	refs     refs
	column   *Column
}

func newQuiet(t *Table, day sealed.Day) *edition {
	e := &edition{Number: day.Number, table: t, quiet: &quiet{
		day: day.Segment(t.project), sealed: day, pieces: make(map[pieceKey]*piece),
	}}
	if day.Nameless == 0 {
		e.quiet.ongoing.Store(&[]ongoing{})
	}
	return e
}

// pieces are what a query needs of a quiet day.
func (n *Needs) pieces() []pieceKey {
	keys := []pieceKey{{kind: corePiece}}
	if n.Sessions {
		keys = append(keys, pieceKey{kind: sessionsPiece})
	}
	if n.Refs {
		keys = append(keys, pieceKey{kind: refsPiece})
	}
	for _, name := range n.Columns {
		keys = append(keys, pieceKey{columnPiece, name})
	}
	return keys
}

// openQuiet fills the days that are quiet, several at a time.
func (v *View) openQuiet(ctx context.Context, days []*Day, n Needs) error {
	keys := n.pieces()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	read := false
	for _, d := range days {
		if d.edition.quiet == nil {
			continue
		}
		v.table.tables.metrics.sealedUses.Add(float64(len(keys)))
		if d.take(d.edition.quiet.inMemory(keys)) {
			continue
		}
		read = true
		group.Go(func() error {
			pieces, err := d.edition.bring(ctx, v, keys)
			d.take(pieces)
			return err
		})
	}
	err := group.Wait()
	if read {
		v.table.tables.cache.shrink()
	}
	return err
}

// take puts pieces into the day; false when there are none.
func (d *Day) take(pieces []*piece) bool {
	for _, p := range pieces {
		switch p.key.kind {
		case corePiece:
			d.core = p.core
		case sessionsPiece:
			d.sessions = p.sessions
		case refsPiece:
			d.refs = p.refs
		case columnPiece:
			d.columns[p.key.column] = p.column
		}
	}
	return len(pieces) > 0
}

// inMemory are the pieces if all of them are there, else nil.
func (q *quiet) inMemory(keys []pieceKey) []*piece {
	q.mu.Lock()
	defer q.mu.Unlock()
	pieces := make([]*piece, len(keys))
	for i, key := range keys {
		p := q.pieces[key]
		if p == nil || !p.landed() {
			return nil
		}
		p.resident.touch()
		pieces[i] = p
	}
	return pieces
}

func (p *piece) landed() bool {
	select {
	case <-p.done:
		return p.err == nil
	default:
		return false
	}
}

// bring reads pieces that are not in memory, each once for all who ask at the same time.
func (e *edition) bring(ctx context.Context, v *View, keys []pieceKey) ([]*piece, error) {
	for {
		pieces, mine := e.quiet.board(keys)
		if len(mine) > 0 {
			if err := e.fly(ctx, v, mine); err != nil {
				return nil, err
			}
		}
		complete := true
		for _, p := range pieces {
			select {
			case <-p.done:
				complete = complete && p.err == nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if complete { // else it was another's flight that failed: try ourselves
			return pieces, nil
		}
	}
}

// board finds each piece; those that nobody reads yet are mine.
func (q *quiet) board(keys []pieceKey) (pieces, mine []*piece) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, key := range keys {
		p := q.pieces[key]
		if p == nil {
			p = &piece{key: key, done: make(chan struct{})}
			q.pieces[key] = p
			mine = append(mine, p)
		}
		pieces = append(pieces, p)
	}
	return pieces, mine
}

// fly reads pieces and lets all who wait for them have them.
func (e *edition) fly(ctx context.Context, v *View, mine []*piece) (err error) {
	err = fmt.Errorf("reading was broken off") // by a panic: others must not be left waiting
	defer func() {
		for _, p := range mine {
			p.err = err
			e.land(p)
		}
	}()
	err = e.read(ctx, v, mine)
	return err
}

// land keeps a piece that was read, or forgets one that was not. Whoever finds
// it landed finds it counted, too.
func (e *edition) land(p *piece) {
	q := e.quiet
	p.resident = &resident{leave: func() { e.leave(p) }}
	p.resident.touch()
	q.mu.Lock()
	keep := p.err == nil && !q.retired
	if keep {
		e.table.tables.cache.count(p.resident, p.bytes())
	} else {
		delete(q.pieces, p.key)
	}
	close(p.done)
	q.mu.Unlock()
	if !keep {
		e.table.letGo(p)
	}
}

// leave lets a piece out of memory.
func (e *edition) leave(p *piece) {
	q := e.quiet
	q.mu.Lock()
	held := q.pieces[p.key] == p
	if held {
		delete(q.pieces, p.key)
	}
	q.mu.Unlock()
	if !held {
		return
	}
	e.table.tables.cache.count(p.resident, 0)
	e.table.tables.metrics.evictions.Inc()
	e.table.letGo(p)
}

// letGo takes back the piece's use of a dictionary.
func (t *Table) letGo(p *piece) {
	if p.column == nil || p.column.dictionary == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(p.column.dictionary.name)
}

// retire lets go of all pieces: from now on only older Views show the edition.
func (t *Table) retire(e *edition) {
	q := e.quiet
	q.mu.Lock()
	defer q.mu.Unlock()
	q.retired = true
	for key, p := range q.pieces {
		if !p.landed() {
			continue // it will see that the edition is retired
		}
		delete(q.pieces, key)
		t.tables.cache.count(p.resident, 0)
		if p.column != nil && p.column.dictionary != nil {
			t.release(p.column.dictionary.name)
		}
	}
}

// bytes is what a piece takes.
func (p *piece) bytes() int64 {
	n := p.sessions.bytes() + p.refs.batches.bytes() + 2*int64(len(p.refs.positions))
	if p.core != nil {
		n += 8 * int64(len(p.core.times))
	}
	if p.column != nil {
		n += p.column.Codes.bytes()
	}
	return max(n, 1)
}

// read reads the pieces from the day's sealed parts.
func (e *edition) read(ctx context.Context, v *View, mine []*piece) error {
	needs := sealed.Needs{}
	for _, p := range mine {
		switch {
		case p.key.kind == sessionsPiece:
			needs.Sessions = true
		case p.key.kind == refsPiece:
			needs.Refs = true
		case p.key.kind == columnPiece && p.key.column != typeColumn:
			needs.Columns = append(needs.Columns, p.key.column)
		}
	}
	t := e.table
	content, err := e.content(ctx, needs)
	if err != nil {
		return err
	}
	placed, err := t.place(ctx, content, v.users)
	if err != nil {
		return err
	}
	if needs.Sessions && e.quiet.sealed.Nameless > 0 {
		if err := v.knowOngoing(ctx, e.Number-1); err != nil {
			return err
		}
	}
	for _, p := range mine {
		switch p.key.kind {
		case corePiece:
			p.core = placed.core
		case sessionsPiece:
			p.sessions = narrowed(t.numberSessions(placed, v.edition(e.Number-1)))
		case refsPiece:
			p.refs = refs{narrowed(t.numberBatches(placed)), placed.positions()}
		case columnPiece:
			p.column = t.placeColumn(placed, p.key.column)
		}
	}
	t.tables.metrics.sealedReads.Add(float64(len(mine)))
	return nil
}

// content is what is needed of a quiet day. If it cannot be had any more, the
// day is soon built again, and a newer View shows it.
func (e *edition) content(ctx context.Context, n sealed.Needs) (*sealed.Content, error) {
	content, err := e.table.tables.shelf.Content(ctx, e.quiet.day, n)
	if errors.Is(err, sealed.ErrMoved) {
		e.table.suspect(e)
		return nil, &fault.Error{Kind: fault.Unavailable, Code: "rebuilding", Message: "a day is being built again from its events", RetryAfter: time.Second, Err: err}
	}
	return content, err
}

// edition is the day of that number, or nil.
func (v *View) edition(number int32) *edition {
	i, found := slices.BinarySearchFunc(v.days, number, func(d *edition, n int32) int { return int(d.Number) - int(n) })
	if !found {
		return nil
	}
	return v.days[i]
}

// placed is a sealed day's content with its rows in the order of a day: under
// the users that their identities have now.
type placed struct {
	content    *sealed.Content
	core       *core
	identities []uint32 // numbers of the content's identities
	rows       []uint32 // by row of the day: its row of the content; nil where that is the same
}

// row is where the day's row i stands in the content.
func (p *placed) row(i int) int {
	if p.rows == nil {
		return i
	}
	return int(p.rows[i])
}

// place orders a content's rows by the users whom identities have.
func (t *Table) place(ctx context.Context, c *sealed.Content, users []uint32) (*placed, error) {
	t.mu.Lock()
	k, err := t.known(c)
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return t.placeKnown(ctx, k, users)
}

func (t *Table) placeKnown(ctx context.Context, k known, users []uint32) (*placed, error) {
	return k.place(users, func() error {
		with, err := t.tables.shelf.Content(ctx, k.Base.Day, sealed.Needs{Refs: true}) // ErrMoved would have come before
		if err == nil {
			k.Batches, k.Refs = with.Batches, with.Refs
		}
		return err
	})
}

// known is a content whose identities and types were all met when the day was added or restored.
func (t *Table) known(c *sealed.Content) (known, error) {
	identities, err := t.people.known(c.Base)
	return known{c, identities, t.kinds.all(c.Base.Types)}, err
}

// place orders the rows by the users whom identities have; it asks for refs
// where these decide and are not there.
func (k known) place(users []uint32, askRefs func() error) (*placed, error) {
	of := make([]uint32, len(k.identities))
	for i, identity := range k.identities {
		of[i] = users[identity]
	}
	rows, tied := arrangeSealed(k.Base, of)
	if tied && k.Refs == nil {
		if err := askRefs(); err != nil {
			return nil, err
		}
	}
	if tied {
		settleSealed(k.Content, of, rows)
	}
	return &placed{content: k.Content, core: coreOf(k.Base, k.kinds, of, rows), identities: k.identities, rows: rows}, nil
}

// known are the numbers of a base's identities.
func (p *people) known(b *segment.Base) ([]uint32, error) {
	numbers := make([]uint32, b.Identities.Len())
	for i := range numbers {
		p.scratch = p.scratch[:0]
		if i >= b.Anonymous {
			p.scratch = append(p.scratch, anonymous)
		}
		p.scratch = append(p.scratch, b.Identities.Packed(i)...)
		n, ok := p.identities.lookup(p.scratch)
		if !ok {
			return nil, fmt.Errorf("%w: day %d of project %s names %q, whom nobody has met", segment.ErrDamaged, b.Day.Number, b.Day.Project, b.Identities.Text(i))
		}
		numbers[i] = n
	}
	return numbers, nil
}

// arrangeSealed is the order of rows by type, user and time, given each
// identity's user; nil where it is the canonical one. Tied says that rows of
// several identities of one user may have the same time: their refs decide.
func arrangeSealed(b *segment.Base, of []uint32) (rows []uint32, tied bool) {
	if strictlyAscending(of) {
		return nil, false
	}
	return b.Arrange(of)
}

func strictlyAscending(numbers []uint32) bool {
	for i := 1; i < len(numbers); i++ {
		if numbers[i-1] >= numbers[i] {
			return false
		}
	}
	return true
}

// settleSealed orders rows of the same type, user and time by batch and position.
func settleSealed(c *sealed.Content, of, rows []uint32) {
	b, refs := c.Base, c.Refs
	for kind := range b.Types {
		start, end := b.Rows(kind)
		for lo := start; lo < end; {
			hi := lo + 1
			for hi < end && of[b.Identity[rows[hi]]] == of[b.Identity[rows[lo]]] && b.Times[rows[hi]] == b.Times[rows[lo]] {
				hi++
			}
			slices.SortFunc(rows[lo:hi], func(x, y uint32) int {
				if refs.Batches[x] != refs.Batches[y] {
					return int(refs.Batches[x]) - int(refs.Batches[y])
				}
				return int(refs.Positions[x]) - int(refs.Positions[y])
			})
			lo = hi
		}
	}
}

func coreOf(b *segment.Base, kinds, of, rows []uint32) *core {
	d := &core{kinds: kinds, runs: make([]Run, len(b.Types)), users: make([]uint32, len(b.Times)), times: b.Times}
	for kind, name := range b.Types {
		lo, hi := b.Rows(kind)
		d.runs[kind] = Run{name, lo, hi}
	}
	if rows == nil {
		for i, identity := range b.Identity {
			d.users[i] = of[identity]
		}
		return d
	}
	d.times = make([]uint32, len(b.Times))
	for i, row := range rows {
		d.users[i], d.times[i] = of[b.Identity[row]], b.Times[row]
	}
	return d
}

func (p *placed) positions() []uint16 {
	if p.rows == nil {
		return p.content.Refs.Positions
	}
	positions := make([]uint16, len(p.rows))
	for i, row := range p.rows {
		positions[i] = p.content.Refs.Positions[row]
	}
	return positions
}

// numberBatches gives each row the number of its batch.
func (t *Table) numberBatches(p *placed) []uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.numberBatchesLocked(p)
}

func (t *Table) numberBatchesLocked(p *placed) []uint32 {
	numbers := make([]uint32, len(p.content.Batches))
	for i, b := range p.content.Batches {
		numbers[i] = t.batchNumber(b.ID)
	}
	t.batches.show()
	of := make([]uint32, len(p.core.times))
	for i := range of {
		of[i] = numbers[p.content.Refs.Batches[p.row(i)]]
	}
	return of
}

// numberSessions gives each row the number of its session.
func (t *Table) numberSessions(p *placed, before *edition) []uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.sentSessions(p)
	midnight := event.Time(p.content.Base.Day.Number) * dayLength
	p.core.cut(midnight, p.core.nameless(func(row int) bool { return of[row] == none }), before, func(user uint32, start event.Time, rows []keyed) {
		session := t.sessions.started(user, start)
		for _, k := range rows {
			of[k.row] = session
		}
	})
	t.sessions.names.show()
	return of
}

// sentSessions are the numbers of the rows' sessions as far as clients named them.
func (t *Table) sentSessions(p *placed) []uint32 {
	s := p.content.Sessions
	numbers := make([]uint32, s.IDs.Len())
	for i := range numbers {
		numbers[i], _ = t.sessions.names.number(s.IDs.Packed(i))
	}
	of := make([]uint32, len(p.core.times))
	for i := range of {
		if session := s.Of[p.row(i)]; session != segment.NoSession {
			of[i] = numbers[session]
		} else {
			of[i] = none
		}
	}
	t.sessions.names.show()
	return of
}

// placeColumn is a column in the order of the day, with one use of its dictionary.
func (t *Table) placeColumn(p *placed, name string) *Column {
	t.mu.Lock()
	dictionary := t.dictionary(name)
	t.mu.Unlock()
	return &Column{Codes: narrowed(p.codes(dictionary)), Values: dictionary.values(), dictionary: dictionary}
}

// codes are the rows' codes in a dictionary.
func (p *placed) codes(dictionary *dictionary) []uint32 {
	codes := make([]uint32, len(p.core.times))
	if dictionary.name == typeColumn {
		p.core.typeCodes(dictionary, codes)
		return codes
	}
	column := p.content.Columns[dictionary.name]
	numbers := make([]uint32, len(column.Values))
	for i, v := range column.Values {
		numbers[i] = dictionary.code(v)
	}
	for i := range codes {
		codes[i] = numbers[column.Codes[p.row(i)]]
	}
	return codes
}

// knowOngoing works out which derived sessions may go on after a day's end,
// unless that is known. Days before it are read only if such a session may
// have begun on one of them.
func (v *View) knowOngoing(ctx context.Context, number int32) error {
	e := v.edition(number)
	if e == nil || e.quiet == nil || e.quiet.ongoing.Load() != nil {
		return nil
	}
	content, err := e.content(ctx, sealed.Needs{Sessions: true})
	if err != nil {
		return err
	}
	p, err := v.table.place(ctx, content, v.users)
	if err != nil {
		return err
	}
	rows := p.core.nameless(func(row int) bool { return content.Sessions.Of[p.row(row)] == segment.NoSession })
	unnamed := func(uint32, event.Time, []keyed) {}
	goingOn := p.core.cut(e.Start(), rows, nil, unnamed)
	if slices.ContainsFunc(goingOn, func(o ongoing) bool { return o.start <= e.Start()+idle }) {
		if err := v.knowOngoing(ctx, number-1); err != nil {
			return err
		}
		goingOn = p.core.cut(e.Start(), rows, v.edition(number-1), unnamed)
	}
	e.quiet.ongoing.Store(&goingOn)
	return nil
}
