package account

import (
	"cmp"
	"context"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// Gaps are what the numbers that SDKs give a device's events say of a range:
// those between the lowest and the highest of a device that no stored event has.
type Gaps struct {
	Devices         int      `json:"devices"` // with numbered events
	DevicesWithGaps int      `json:"devices_with_gaps"`
	Missing         int      `json:"missing"`          // numbers
	ReportedDropped int      `json:"reported_dropped"` // of these, as many as the same device says it dropped
	Worst           []Device `json:"worst,omitzero"`   // those that miss most; nil when nobody asked
}

// Device is one anonymous id with gaps.
type Device struct {
	AnonymousID     string `json:"anonymous_id"`
	First           uint32 `json:"first"`
	Last            uint32 `json:"last"`
	Events          int    `json:"events"`
	Missing         int    `json:"missing"`
	ReportedDropped int    `json:"reported_dropped"`
}

const (
	worstDevices = 20

	// mostGap is the most numbers between two events that count as missing. No
	// device drops more at a time, so a larger step is a stranger's joke or a device that counts anew.
	mostGap = 100_000

	mostNumbered = 10_000_000 // events: 80 MB
)

const (
	deviceColumn   = "anonymous_id"
	sequenceColumn = event.PropertyPrefix + event.SequenceProperty
	droppedColumn  = event.PropertyPrefix + event.DroppedProperty
)

// GapsOf reads the events of [from, to].
func GapsOf(ctx context.Context, v *columns.View, from, to event.Time, devices bool) (*Gaps, error) {
	days, err := v.Open(ctx, from, to, columns.Needs{Columns: []string{deviceColumn, sequenceColumn, droppedColumn}})
	if err != nil {
		return nil, err
	}
	n := numbered{dropped: map[uint32]int{}}
	for _, d := range days {
		if err := n.add(d, from, to); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	gaps := &Gaps{}
	if devices {
		gaps.Worst = []Device{}
	}
	slices.Sort(n.events)
	n.eachDevice(gaps.add)
	return gaps, nil
}

// numbered are the events of devices that have a number.
type numbered struct {
	events  []uint64       // device in the upper half, number in the lower
	dropped map[uint32]int // by device
	names   []event.Value  // by device
}

func (n *numbered) add(d *columns.Day, from, to event.Time) error {
	device, sequence, dropped := d.Column(deviceColumn), d.Column(sequenceColumn), d.Column(droppedColumn)
	if len(device.Values) > len(n.names) {
		n.names = device.Values
	}
	sequences, drops := make(map[uint32]uint32), make(map[uint32]int) // by code
	for row, after := range d.Times() {
		code := sequence.Codes.At(row)
		at := d.Start() + event.Time(after)
		of := device.Codes.At(row)
		if code == 0 || of == 0 || at < from || to < at {
			continue
		}
		number, known := sequences[code]
		if !known {
			number = event.SequenceOf(sequence.Values[code])
			sequences[code] = number
		}
		if number == 0 {
			continue
		}
		n.events = append(n.events, uint64(of)<<32|uint64(number))
		if code := dropped.Codes.At(row); code != 0 {
			if _, known := drops[code]; !known {
				drops[code] = total(event.DroppedOf(dropped.Values[code]))
			}
			n.dropped[of] += drops[code]
		}
	}
	if len(n.events) > mostNumbered {
		return fault.New(fault.Exceeded, "too_many_events", "the range has more than %d events with %s: shorten it", mostNumbered, sequenceColumn)
	}
	return nil
}

func total(counts map[string]int) (all int) {
	for _, n := range counts {
		all += n
	}
	return all
}

// eachDevice goes over the sorted events.
func (n *numbered) eachDevice(yield func(Device)) {
	for lo := 0; lo < len(n.events); {
		of := uint32(n.events[lo] >> 32)
		first := uint32(n.events[lo])
		d := Device{AnonymousID: n.names[of].Text, First: first, Last: first}
		for ; lo < len(n.events) && uint32(n.events[lo]>>32) == of; lo++ {
			number := uint32(n.events[lo])
			if between := int(number) - int(d.Last) - 1; 0 < between && between <= mostGap {
				d.Missing += between
			}
			d.Events, d.Last = d.Events+1, number
		}
		d.ReportedDropped = min(d.Missing, n.dropped[of])
		yield(d)
	}
}

func (g *Gaps) add(d Device) {
	g.Devices++
	if d.Missing == 0 {
		return
	}
	g.DevicesWithGaps++
	g.Missing += d.Missing
	g.ReportedDropped += d.ReportedDropped
	if g.Worst == nil {
		return
	}
	at, _ := slices.BinarySearchFunc(g.Worst, d, func(a, b Device) int {
		return cmp.Or(cmp.Compare(b.Missing-b.ReportedDropped, a.Missing-a.ReportedDropped), cmp.Compare(b.Missing, a.Missing), cmp.Compare(a.AnonymousID, b.AnonymousID))
	})
	if g.Worst = slices.Insert(g.Worst, at, d); len(g.Worst) > worstDevices {
		g.Worst = g.Worst[:worstDevices]
	}
}
