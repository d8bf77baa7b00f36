package report

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/services/query/internal/columns"
)

func TestParquetHoldsEveryFieldOfEveryEvent(t *testing.T) {
	events := randomEvents(rand.New(rand.NewPCG(1, 1)), 120)
	for i := range events {
		events[i].Properties = fmt.Sprintf(`{"n":%d,"text":"ä"}`, i)
		events[i].IsBot, events[i].SessionID = i%2 == 0, "s"
	}
	v := columns.FromEvents("demo", events)
	p, err := ParamsFromJSON([]byte(`{"format": "parquet", "from": "2026-01-01", "to": "2026-12-31"}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ReadExport(p, Env{Now: v.Newest})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := Export(t.Context(), v, r, &file, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	read := parquet.NewGenericReader[any](bytes.NewReader(file.Bytes()))
	if n := read.NumRows(); n != int64(len(events)) {
		t.Fatalf("got %d rows, want %d", n, len(events))
	}
	byID := map[string]*event.Event{}
	for i := range events {
		byID[events[i].EventID] = &events[i]
	}
	rows := make([]parquet.Row, len(events))
	if n, err := read.ReadRows(rows); n != len(events) || (err != nil && err != io.EOF) {
		t.Fatalf("got %d rows and %v", n, err)
	}
	for _, row := range rows {
		values := map[string]parquet.Value{}
		for _, v := range row {
			values[read.Schema().Columns()[v.Column()][0]] = v
		}
		e := byID[values["event_id"].String()]
		for i := range event.Fields {
			f := &event.Fields[i]
			want, present := parquetValue(f, e)
			if got := values[f.Name]; got.IsNull() == present || (present && !parquet.Equal(got, want)) {
				t.Errorf("%s of %s: got %v, want %v", f.Name, e.EventID, got, want)
			}
		}
	}
}
