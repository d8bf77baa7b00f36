package halves

import (
	"context"
	"errors"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/consumer"
)

// Following is the configuration of a consumer that stores nothing.
type Following struct {
	proc.Options
	Consumer consumer.Settings
	Dir      string `envconfig:"STORE_DIR" default:"data" desc:"directory of the store"`
}

// Validate says everything that is wrong, one line for each variable.
func (c *Following) Validate() error { return errors.Join(c.Options.Validate(), c.Consumer.Validate()) }

// Follow is the consumer in the roles that follow what is stored. Several of
// them share the store with the half that stores, in a build in which that is allowed.
func Follow(ctx context.Context, c *Following, p *proc.Process) error {
	s, err := sqlite.Open(ctx, c.Dir)
	if err != nil {
		return err
	}
	p.OnStop("store", func(context.Context) error { return s.Close() })
	return consumer.Serve(ctx, &c.Consumer, p, consumer.Deps{Store: &followed{hurt{Store: s, dir: c.Dir}}})
}

// followed is a hurt store for those who follow: they meet the file's word in
// what they read and in what they write.
type followed struct{ hurt }

// Batches is one of a follower's operations.
func (f *followed) Batches(ctx context.Context, after store.Cursor, limit int) (entries []store.Batch, err error) {
	err = f.meet(ctx, func() (err error) {
		entries, err = f.Store.Batches(ctx, after, limit)
		return err
	})
	return entries, err
}

// EventsOfBatches is one of a follower's operations.
func (f *followed) EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error {
	return f.meet(ctx, func() error { return f.Store.EventsOfBatches(ctx, project, ids, yield) })
}

// Record is one of a follower's operations.
func (f *followed) Record(ctx context.Context, kind, project, id string) (r *store.Record, err error) {
	err = f.meet(ctx, func() (err error) {
		r, err = f.Store.Record(ctx, kind, project, id)
		return err
	})
	return r, err
}

// Records is one of a follower's operations.
func (f *followed) Records(ctx context.Context, kind, project, after string, limit int) (records []store.Record, err error) {
	err = f.meet(ctx, func() (err error) {
		records, err = f.Store.Records(ctx, kind, project, after, limit)
		return err
	})
	return records, err
}

// DueRecords is one of a follower's operations.
func (f *followed) DueRecords(ctx context.Context, kind string, at event.Time, limit int) (records []store.Record, err error) {
	err = f.meet(ctx, func() (err error) {
		records, err = f.Store.DueRecords(ctx, kind, at, limit)
		return err
	})
	return records, err
}

// CreateRecord is one of a follower's operations.
func (f *followed) CreateRecord(ctx context.Context, r store.Record) error {
	return f.meet(ctx, func() error { return f.Store.CreateRecord(ctx, r) })
}

// UpdateRecord is one of a follower's operations.
func (f *followed) UpdateRecord(ctx context.Context, r store.Record) error {
	return f.meet(ctx, func() error { return f.Store.UpdateRecord(ctx, r) })
}

// DeleteRecord is one of a follower's operations.
func (f *followed) DeleteRecord(ctx context.Context, r store.Record) error {
	return f.meet(ctx, func() error { return f.Store.DeleteRecord(ctx, r) })
}
