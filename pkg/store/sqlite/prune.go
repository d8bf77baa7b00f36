package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/maidian/maidian/pkg/store"
)

const (
	pruneSQL = `DELETE FROM events WHERE project = ? AND event_id = ? AND batch_id = ? AND body <> '{}'`

	// The count is of what is left, tombstones among it, so it is right however often it is made.
	recordPrunedSQL = `UPDATE batches SET days = ?,
		pruned = stored - (SELECT count(*) FROM events e WHERE e.batch_id = batches.batch_id AND e.project = batches.project)
		WHERE batch_id = ? AND project = ? AND written_at = ?`
)

// PruneEvents is described by store.Events.
func (s *Store) PruneEvents(ctx context.Context, prunings []store.Pruning) error {
	days, events := make([]string, len(prunings)), 0
	for i := range prunings {
		text, err := json.Marshal(append([]int32{}, prunings[i].Days...)) // never null
		if err != nil {
			return err
		}
		days[i], events = string(text), events+len(prunings[i].Events)
	}
	if len(prunings) == 0 {
		return nil
	}
	return s.do(ctx, fmt.Sprintf("prune %d events", events), events, func(t *transaction) error {
		for i := range prunings {
			if err := t.prune(&prunings[i], days[i]); err != nil {
				return err
			}
		}
		t.started = false // the newest row may be gone
		return nil
	})
}

func (t *transaction) prune(p *store.Pruning, days string) error {
	gone, err := t.Prepare(pruneSQL)
	if err != nil {
		return err
	}
	defer gone.Close()
	for _, id := range p.Events {
		if _, err := gone.Exec(p.Batch.Project, id, p.Batch.ID); err != nil {
			return err
		}
	}
	_, err = t.Exec(recordPrunedSQL, days, p.Batch.ID, p.Batch.Project, int64(p.Batch.WrittenAt))
	return err
}
