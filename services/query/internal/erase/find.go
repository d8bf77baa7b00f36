package erase

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// batches are the ids of those in which there may be events of the subject. No
// index finds events by person: the columns know where they are.
func (w *work) batches(ctx context.Context, v *columns.View) ([]string, error) {
	find := w.rowsOfUsers
	if w.task.AnonymousID != "" {
		find = w.rowsOfAnonymous
	}
	found := make(map[uint32]bool)
	for _, start := range v.Starts(math.MinInt64, math.MaxInt64) {
		d, rows, err := find(ctx, v, start)
		if err != nil {
			return nil, fmt.Errorf("look for events of %s: %w", start, err)
		}
		for _, row := range rows {
			found[d.Ref(row).Batch] = true
		}
	}
	ids := make([]string, 0, len(found))
	for n := range found {
		ids = append(ids, v.BatchID(n))
	}
	slices.Sort(ids)
	return ids, nil
}

// rowsOfUsers are those of the user, and of whoever the aliases stand for now:
// once a part of the events is gone, nobody may know any more whose they were.
func (w *work) rowsOfUsers(ctx context.Context, v *columns.View, start event.Time) (d *columns.Day, rows []uint32, err error) {
	days, err := v.Open(ctx, start, start, columns.Needs{})
	if err != nil {
		return nil, nil, err
	}
	var users []uint32
	for _, name := range append([]string{w.task.UserID}, w.task.Aliases...) {
		if user, known := v.UserNumber(name); known && !slices.Contains(users, user) && days[0].HasUser(user) {
			users = append(users, user)
		}
	}
	if len(users) == 0 {
		return nil, nil, nil
	}
	if days, err = v.Open(ctx, start, start, columns.Needs{Refs: true}); err != nil {
		return nil, nil, err
	}
	for _, user := range users {
		rows = append(rows, days[0].RowsOfUser(user)...)
	}
	return days[0], rows, nil
}

// rowsOfAnonymous are those whose event has the anonymous id, whoever the user is.
func (w *work) rowsOfAnonymous(ctx context.Context, v *columns.View, start event.Time) (d *columns.Day, rows []uint32, err error) {
	days, err := v.Open(ctx, start, start, columns.Needs{Columns: []string{"anonymous_id"}, Refs: true})
	if err != nil {
		return nil, nil, err
	}
	d = days[0]
	column := d.Column("anonymous_id")
	code := slices.Index(column.Values, event.TextValue(w.task.AnonymousID))
	if code < 0 {
		return d, nil, nil
	}
	for row := range d.Len() {
		if column.Codes.At(row) == uint32(code) {
			rows = append(rows, uint32(row))
		}
	}
	return d, rows, nil
}
