package traffic

import (
	"container/heap"
	"time"
)

// Live is the shop as time goes by, at about a rate of events a second.
type Live struct {
	shop  *Shop
	every time.Duration // between the beginnings of sessions, on average
	next  time.Time     // the next session begins
	open  sessions
}

// NewLive opens the shop a while before now, so that at once as many visitors
// are in it as ever.
func NewLive(shop *Shop, rate float64, now time.Time) *Live {
	const before = 20 * time.Minute
	l := &Live{shop: shop, every: time.Duration(MeanEvents / rate * float64(time.Second)), next: now.Add(-before)}
	l.Until(now)
	return l
}

// Until is what happened since the last call and before a time, in order.
func (l *Live) Until(at time.Time) []Event {
	for l.next.Before(at) {
		heap.Push(&l.open, l.shop.Session(l.next))
		l.next = l.next.Add(time.Duration(l.shop.rand.ExpFloat64() * float64(l.every)))
	}
	var events []Event
	for len(l.open) > 0 && l.open[0][0].At < at.UnixMilli() {
		events = append(events, l.open[0][0])
		if l.open[0] = l.open[0][1:]; len(l.open[0]) == 0 {
			heap.Pop(&l.open)
		} else {
			heap.Fix(&l.open, 0)
		}
	}
	return events
}

// sessions are what is still to happen in each, the soonest first.
type sessions [][]Event

func (s sessions) Len() int           { return len(s) }
func (s sessions) Less(i, j int) bool { return s[i][0].At < s[j][0].At }
func (s sessions) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sessions) Push(x any)        { *s = append(*s, x.([]Event)) }
func (s *sessions) Pop() any {
	last := len(*s) - 1
	x := (*s)[last]
	*s = (*s)[:last]
	return x
}
