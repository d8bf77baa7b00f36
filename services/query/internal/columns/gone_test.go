package columns

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// erase takes events out of a batch of the vault, and the rows with them.
func (r *replica) erase(batch string, ids ...string) {
	r.t.Helper()
	at := slices.IndexFunc(r.vault.journal, func(b store.Batch) bool { return b.ID == batch })
	entry := r.vault.journal[at]
	entry.Erased = len(ids)
	r.vault.journal[at] = entry
	left := slices.DeleteFunc(slices.Clone(r.vault.held.batches[batch]), func(e event.Event) bool { return slices.Contains(ids, e.EventID) })
	r.vault.held.batches[batch] = left
	r.table.Drop(entry, left, ids)
}

// someBatch has an event of each of these moments, all of one user.
func someBatch(id string, at ...event.Time) (batch []event.Event) {
	for i, t := range at {
		batch = append(batch, event.Event{
			Project: "p", EventType: "click", EventID: fmt.Sprint(id, ".", i), UserID: "u", Timestamp: t, BatchID: id, Position: i,
		})
	}
	return batch
}

func (r *replica) wantSame(what string) {
	r.t.Helper()
	var all []event.Event
	for _, batch := range r.vault.held.batches {
		all = append(all, batch...)
	}
	compareTales(r.t, 0, what, tell(r.t, r.view()), oracle(all))
}

func TestWhatIsErasedWhileItWaitsForAQuietDayDoesNotComeBack(t *testing.T) {
	one := newReplica(t, newVault(), math.MaxInt64)
	one.vault.put(someBatch("first", 1000, 2000))
	one.catchUp()
	one.seal()
	one.vault.put(someBatch("late", 3000, 4000, 5000))
	one.catchUp()
	one.erase("late", "late.0", "late.2")
	one.wantSame("after two of three late events were erased")
}
