package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Batch is a batch that brought events of the day.
type Batch struct {
	ID   string
	Rows int // of this day
}

// Fingerprint is of the batches of a day, which must stand in the order of their ids.
func Fingerprint(batches []Batch) uint64 {
	sum := xxhash.New()
	var b []byte
	for _, batch := range batches {
		b = binary.AppendUvarint(appendText(b[:0], batch.ID), uint64(batch.Rows))
		_, _ = sum.Write(b) // it does not fail
	}
	return sum.Sum64()
}

// checkBatches holds batches against the day: all its rows, and this state of it.
func checkBatches(day Day, batches []Batch) error {
	rows := 0
	for i, batch := range batches {
		if batch.Rows < 1 || i > 0 && batches[i-1].ID >= batch.ID {
			return fmt.Errorf("batch %d, %+v, is empty or not in order", i, batch)
		}
		rows += batch.Rows
	}
	if rows != day.Rows {
		return fmt.Errorf("%d batches brought %d rows, the day has %d", len(batches), rows, day.Rows)
	}
	if f := Fingerprint(batches); f != day.Fingerprint {
		return fmt.Errorf("the batches' fingerprint is %016x, the day's %016x", f, day.Fingerprint)
	}
	return nil
}

// SealBatches makes the part with the day's batches, in the order of their ids.
func SealBatches(day Day, batches []Batch) ([]byte, error) {
	if err := checkBatches(day, batches); err != nil {
		return nil, fmt.Errorf("seal %s of day %d of %q: %w", BatchesName, day.Number, day.Project, err)
	}
	var ids Names
	rows := make([]uint32, len(batches))
	for i, batch := range batches {
		ids.Add(batch.ID)
		rows[i] = uint32(batch.Rows)
	}
	w := &writer{}
	w.uvarint(uint64(len(batches)))
	w.names(&ids, 0, ids.Len(), true)
	writeInts(w, rows)
	w.holds(len(batches), rowsPerByte)
	return Seal(day, BatchesName, w.body()), nil
}

// Batches reads the day's batches.
func (p *Part) Batches() ([]Batch, error) {
	r, err := p.read(BatchesName)
	if err != nil {
		return nil, err
	}
	n := r.believed(r.uvarint(maxRows), rowsPerByte)
	ids := r.names(n, true)
	rows := readInts[uint32](r, n, maxRows)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("%s of day %d of %q: %w", BatchesName, p.Day.Number, p.Day.Project, err)
	}
	batches := make([]Batch, n)
	for i := range batches {
		batches[i] = Batch{ids.Text(i), int(rows[i])}
	}
	if err := checkBatches(p.Day, batches); err != nil {
		return nil, fmt.Errorf("%s of day %d of %q: %w: %w", BatchesName, p.Day.Number, p.Day.Project, ErrDamaged, err)
	}
	return batches, nil
}
