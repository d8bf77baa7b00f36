package alert

import (
	"context"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

const (
	trusted  = event.Time(15 * time.Second / time.Millisecond) // what was stored that long ago shows that consumers are well
	inHand   = event.Time(time.Minute / time.Millisecond)      // that long what is late may be in the hands of another one
	mostLate = event.Time(time.Hour / time.Millisecond)        // windows wait that long for what may be late, unless the queue says that it is
)

// upTo is the moment up to which, as far as is known when the journal was
// looked at, everything that was received is stored: windows up to then can be
// judged. While things are stored that were received just now, that is then.
// When nothing is, either nobody sends anything or nobody stores it; to who
// waits for what does not come that makes all the difference, and the queue
// knows it. While it does not answer, windows wait.
func (w *work) upTo(ctx context.Context, looked event.Time) event.Time {
	received, waiting := w.journal.Received(), 0
	var err error
	fresh := looked-received <= trusted
	if !fresh {
		waiting, _, err = w.waits.ask(ctx)
	}
	if err == nil || w.answered == 0 {
		w.answered = looked
	}
	switch {
	case waiting > 0, err != nil && looked-w.answered <= mostLate:
		return received + trusted
	case fresh, looked-w.late.written < inHand:
		return looked - w.late.by(looked)
	}
	return looked
}

// lateness is how long the newest entry of the journal was on its way.
type lateness struct{ written, lag event.Time }

func (l *lateness) see(entry *store.Batch) {
	l.written, l.lag = entry.WrittenAt, min(mostLate, max(0, entry.WrittenAt-entry.ReceivedAt))
}

// by is how late others may be at a moment; what was seen longer ago than its
// own lag says nothing any more.
func (l *lateness) by(now event.Time) event.Time {
	if now >= l.written+l.lag {
		return 0
	}
	return l.lag
}
