package forward

import (
	"context"
	"fmt"
	"net/http"

	"github.com/parquet-go/parquet-go"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
)

// Warehouse is a type of destination whose client is so heavy that not every
// program has it.
type Warehouse struct {
	Type string
	Open func(ctx context.Context, a *Account) (Loader, error)
}

// Account is what a warehouse is opened with.
type Account struct {
	Settings destination.Settings
	Key      string            // the credential that the settings name
	Web      http.RoundTripper // all requests go through it
}

// Loader takes files.
type Loader interface {
	// Load returns nil once the rows of a file are in the table, and are there
	// once however often the same file is loaded with the same id, which is made
	// of letters, digits, "-" and "_". An error is as one of Target's Send.
	Load(ctx context.Context, id string, content []byte) error
	Close() error
}

// warehouse has each batch loaded as a file.
type warehouse struct {
	layout
	loader Loader
}

func (o *opening) bigquery(ctx context.Context, s *destination.BigQuery) (Target, error) {
	key, err := o.secret("key", s.Key)
	if err != nil {
		return nil, err
	}
	// Text, which a column of type STRING takes and JSON functions read.
	return o.warehouse(ctx, &Account{Settings: s, Key: key}, &s.Loads, destination.Parquet, parquet.String())
}

func (o *opening) snowflake(ctx context.Context, s *destination.Snowflake) (Target, error) {
	key, err := o.secret("key", s.Key)
	if err != nil {
		return nil, err
	}
	return o.warehouse(ctx, &Account{Settings: s, Key: key}, &s.Loads, destination.NDJSON, nil)
}

func (o *opening) warehouse(ctx context.Context, a *Account, l *destination.Loads, format string, object parquet.Node) (Target, error) {
	for _, w := range o.Warehouses {
		if w.Type != o.definition.Type {
			continue
		}
		a.Web = roundTripper{o.Web}
		loader, err := w.Open(ctx, a)
		if err != nil {
			return nil, err
		}
		files := &destination.Layout{Format: format, Every: l.Every, Events: l.Events}
		return &warehouse{layout{files, &o.definition.Shape, object}, loader}, nil
	}
	return nil, fmt.Errorf("this program has no client for %s: bin/consumer does", o.definition.Type)
}

// roundTripper makes requests as the guard lets it, for clients that make their own.
type roundTripper struct{ Doer }

func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return t.Do(r) }

// mostWarehouseBytes are of JSON; a file has less.
const mostWarehouseBytes = 32 << 20

func (w *warehouse) Limits() Limits {
	l := w.layout.Limits()
	l.Bytes = mostWarehouseBytes
	return l
}

func (w *warehouse) Encode(e *event.Event) ([]byte, error) { return w.layout.Encode(e) }

func (w *warehouse) Send(ctx context.Context, b Batch) error {
	content, err := w.content(&file{items: b.Items})
	if err != nil {
		return err
	}
	return w.loader.Load(ctx, fileName(b.ID), content)
}

func (w *warehouse) Close() error { return w.loader.Close() }
