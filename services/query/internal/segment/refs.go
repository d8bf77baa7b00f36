package segment

import (
	"fmt"
)

// Refs say where the rows' raw events are.
type Refs struct {
	Batches   []uint32 // by row: an index into the day's batches, which stand in the order of their ids
	Positions []uint16 // by row: the place in the batch
}

// Refs are written in one of two orders. Where events came one by one as they
// happened, the next in time is the next in its batch; where each client sends
// several at once, the visitor's next is.
const (
	refsByTime = iota
	refsByIdentity
)

// SealRefs makes the part with the refs of the base's rows.
func (b *Base) SealRefs(batches []Batch, refs *Refs) ([]byte, error) {
	if err := b.checkRefs(batches, refs); err != nil {
		return nil, fmt.Errorf("seal %s of day %d of %q: %w", RefsName, b.Day.Number, b.Day.Project, err)
	}
	byTime, byIdentity := encodeRefs(b.byTime(), refs), encodeRefs(b.byIdentity().rows, refs)
	body := append([]byte{refsByTime}, byTime...)
	if len(byIdentity) < len(byTime) {
		body = append([]byte{refsByIdentity}, byIdentity...)
	}
	return Seal(b.Day, RefsName, body), nil
}

// checkRefs counts whether each batch has its rows, no more and no fewer.
func (b *Base) checkRefs(batches []Batch, refs *Refs) error {
	if err := checkBatches(b.Day, batches); err != nil {
		return err
	}
	if len(refs.Batches) != len(b.Times) || len(refs.Positions) != len(b.Times) {
		return fmt.Errorf("%d batches and %d positions of %d rows", len(refs.Batches), len(refs.Positions), len(b.Times))
	}
	rows := make([]int, len(batches))
	for row, batch := range refs.Batches {
		if int(batch) >= len(batches) {
			return fmt.Errorf("row %d came with batch %d of %d", row, batch, len(batches))
		}
		rows[batch]++
	}
	for i, n := range rows {
		if n != batches[i].Rows {
			return fmt.Errorf("%d rows came with batch %s, which has %d", n, batches[i].ID, batches[i].Rows)
		}
	}
	return nil
}

// byTime is the rows in the order of time; those of equal time as they stand.
func (b *Base) byTime() []uint32 {
	const digit = 9 // bits, three of which hold a time of the day
	rows, sorted := b.order(0), make([]uint32, len(b.Times))
	for shift := 0; shift < 3*digit; shift += digit {
		var next [1<<digit + 1]uint32
		for _, at := range b.Times {
			next[at>>shift&(1<<digit-1)+1]++
		}
		runningSums(next[:])
		for _, row := range rows {
			to := &next[b.Times[row]>>shift&(1<<digit-1)]
			sorted[*to] = row
			*to++
		}
		rows, sorted = sorted, rows
	}
	return rows
}

func encodeRefs(order []uint32, refs *Refs) []byte {
	batches, positions := make([]uint64, len(order)), make([]uint64, len(order))
	batch, position := int64(0), int64(-1)
	for i, row := range order {
		next := int64(refs.Batches[row])
		batches[i] = zigzag(next - batch)
		if next != batch {
			position = -1
		}
		batch = next
		positions[i] = zigzag(int64(refs.Positions[row]) - position - 1)
		position = int64(refs.Positions[row])
	}
	w := &writer{}
	writeInts(w, batches)
	writeInts(w, positions)
	return w.b
}

// Refs reads the refs of the base's rows.
func (p *Part) Refs(b *Base, batches []Batch) (*Refs, error) {
	r, err := p.beside(b, RefsName)
	if err != nil {
		return nil, err
	}
	order, rows := []uint32(nil), len(b.Times)
	switch by := r.byte(); by {
	case refsByTime:
		order = b.byTime()
	case refsByIdentity:
		order = b.byIdentity().rows
	default:
		r.fail("no order %d of refs", by)
	}
	refs := r.refs(order, readInts[uint64](r, rows, 2*maxRows), readInts[uint64](r, rows, 1<<18))
	if err = r.end(); err == nil {
		if err = b.checkRefs(batches, refs); err != nil {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s of day %d of %q: %w", RefsName, b.Day.Number, b.Day.Project, err)
	}
	return refs, nil
}

func (r *reader) refs(order []uint32, batches, positions []uint64) *Refs {
	if r.err != nil {
		return nil
	}
	refs := &Refs{make([]uint32, len(order)), make([]uint16, len(order))}
	batch, position := int64(0), int64(-1)
	for i, row := range order {
		if batches[i] != 0 {
			batch += unzigzag(batches[i])
			position = -1
		}
		position += 1 + unzigzag(positions[i])
		if batch < 0 || batch > maxRows || position < 0 || position > 1<<16-1 {
			r.fail("a row of batch %d, position %d", batch, position)
			return nil
		}
		refs.Batches[row], refs.Positions[row] = uint32(batch), uint16(position)
	}
	return refs
}
