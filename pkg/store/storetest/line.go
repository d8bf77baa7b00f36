package storetest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/maidian/maidian/pkg/store"
)

// Line is the way of one process to a store. Once it is cut, as by the death of
// the process, no record is read or written through it any more.
type Line struct {
	store.Store
	cut atomic.Bool
}

// ErrCut is what comes through a line that is cut.
var ErrCut = errors.New("the line is cut")

// Cut cuts the line for good.
func (l *Line) Cut() { l.cut.Store(true) }

// IsCut says whether it was.
func (l *Line) IsCut() bool { return l.cut.Load() }

// Record is the store's, as are the next ones.
func (l *Line) Record(ctx context.Context, kind, project, id string) (*store.Record, error) {
	if l.IsCut() {
		return nil, ErrCut
	}
	return l.Store.Record(ctx, kind, project, id)
}

// CreateRecord is the store's.
func (l *Line) CreateRecord(ctx context.Context, r store.Record) error {
	if l.IsCut() {
		return ErrCut
	}
	return l.Store.CreateRecord(ctx, r)
}

// UpdateRecord is the store's.
func (l *Line) UpdateRecord(ctx context.Context, r store.Record) error {
	if l.IsCut() {
		return ErrCut
	}
	return l.Store.UpdateRecord(ctx, r)
}

// DeleteRecord is the store's.
func (l *Line) DeleteRecord(ctx context.Context, r store.Record) error {
	if l.IsCut() {
		return ErrCut
	}
	return l.Store.DeleteRecord(ctx, r)
}
