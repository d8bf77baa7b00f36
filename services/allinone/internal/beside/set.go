package beside

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/pkg/testenv/seeded"
)

// Set is the size of a seeded set.
type Set struct{ Events, Users, Days int }

// The project that the set is stored for, and its keys.
const (
	Project  = "seeded"
	WriteKey = "wk_seeded"
	ReadKey  = "rk_seeded"
)

// FillOnce fills the store in dir/store unless that was done before.
func (s Set) FillOnce(ctx context.Context, dir string) error {
	place := filepath.Join(dir, "store")
	if _, err := os.Stat(place); err == nil {
		return nil
	}
	unfinished := place + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	to, err := sqlite.Open(ctx, unfinished)
	if err != nil {
		return err
	}
	if err := s.Fill(ctx, to); err != nil {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Rename(unfinished, place)
}

const (
	perBatch = 500 // events, as the collector puts them into one message when it is busy
	writers  = 4
)

// Fill stores the set as the consumer would have: events, then their entry in the journal.
func (s Set) Fill(ctx context.Context, to store.Store) error {
	if err := to.CreateProject(ctx, project()); err != nil {
		return fmt.Errorf("make the project %s: %w", Project, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan []event.Event)
	for range writers {
		group.Go(func() error {
			for batch := range batches {
				if err := put(ctx, to, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(batches)
		return s.batches(ctx, batches)
	})
	return group.Wait()
}

func (s Set) batches(ctx context.Context, to chan<- []event.Event) error {
	batch := make([]event.Event, 0, perBatch)
	send := func() error {
		select {
		case to <- batch:
			batch = make([]event.Event, 0, perBatch)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n := 0
	for row := range seeded.Rows(s.Events, s.Users, s.Days) {
		e := row.Event()
		e.Project, e.EventID = Project, id(row.Timestamp, n)
		e.ReceivedAt, e.StoredAt, e.ClientTimestamp = e.Timestamp, e.Timestamp, e.Timestamp
		n++
		if batch = append(batch, e); len(batch) == perBatch {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if len(batch) > 0 {
		return send()
	}
	return nil
}

// put stores a batch whose events are in the order of time.
func put(ctx context.Context, to store.Store, batch []event.Event) error {
	first, last := &batch[0], &batch[len(batch)-1]
	entry := store.Batch{ID: "b" + first.EventID[1:], Project: Project, WrittenAt: last.Timestamp, ReceivedAt: first.Timestamp, Stored: len(batch)}
	for day := first.Timestamp.Day(); day <= last.Timestamp.Day(); day++ {
		entry.Days = append(entry.Days, day)
	}
	for i := range batch {
		batch[i].BatchID, batch[i].Position = entry.ID, i
	}
	if _, err := to.InsertEvents(ctx, batch); err != nil {
		return err
	}
	return to.RecordBatches(ctx, []store.Batch{entry})
}

// id is in the form and, nearly, the order of UUIDv7, as collectors make them.
func id(at event.Time, n int) string {
	return fmt.Sprintf("%08x-%04x-7000-8000-%012x", int64(at)>>16, int64(at)&0xffff, n)
}

func project() store.Project {
	key := func(kind, text string) store.Key {
		sum := sha256.Sum256([]byte(text))
		return store.Key{ID: "key_" + kind, Kind: kind, Prefix: text, Hash: hex.EncodeToString(sum[:]), CreatedAt: seeded.Start}
	}
	return store.Project{
		ID: Project, Name: "Seeded set", IPPolicy: store.IPDrop, CreatedAt: seeded.Start,
		Keys: []store.Key{key(store.WriteKey, WriteKey), key(store.ReadKey, ReadKey)},
	}
}
