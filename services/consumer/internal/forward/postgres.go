package forward

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
)

// postgres inserts into the columns that the table has of what is sent, as the
// table's own types; a row whose key is there already changes nothing. So a table
// with a key on event_id has every event once.
type postgres struct {
	settings *destination.Postgres
	shape    *destination.Shape
	pool     *pgxpool.Pool
	insert   string
}

func (o *opening) postgres(ctx context.Context, s *destination.Postgres) (Target, error) {
	address, err := o.secret("url", s.URL)
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 1
	if o.Dial != nil {
		config.ConnConfig.DialFunc = o.Dial
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	t := &postgres{settings: s, shape: &o.definition.Shape, pool: pool}
	if err := t.prepare(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return t, nil
}

// prepare writes the statement for the columns that there are.
func (t *postgres) prepare(ctx context.Context) error {
	rows, err := t.pool.Query(ctx, `SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2`,
		t.settings.Schema, t.settings.Table)
	if err != nil {
		return err
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, name := range there {
		has[name] = true
	}
	var columns []string
	for _, c := range t.shape.Columns() {
		if has[c.Name] {
			columns = append(columns, pgx.Identifier{c.Name}.Sanitize())
		}
	}
	if len(columns) == 0 {
		return fmt.Errorf("the table %s.%s is not there, or has none of the columns that are sent", t.settings.Schema, t.settings.Table)
	}
	table, list := pgx.Identifier{t.settings.Schema, t.settings.Table}.Sanitize(), strings.Join(columns, ", ")
	t.insert = fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM json_populate_recordset(NULL::%s, $1::json) ON CONFLICT DO NOTHING", table, list, list, table)
	return nil
}

func (t *postgres) Limits() Limits { return Limits{Events: t.settings.Batch, Bytes: 16 << 20} }

func (t *postgres) Encode(e *event.Event) ([]byte, error) { return t.shape.AppendJSON(nil, e), nil }

func (t *postgres) Send(ctx context.Context, b Batch) error {
	rows := []byte{'['}
	for i, item := range b.Items {
		if i > 0 {
			rows = append(rows, ',')
		}
		rows = append(rows, item.Body...)
	}
	_, err := t.pool.Exec(ctx, t.insert, string(append(rows, ']')))
	if wrong := (*pgconn.PgError)(nil); errors.As(err, &wrong) && isOfRows(wrong.Code) {
		return fault.Wrap(fault.Invalid, "refused", err)
	}
	return err
}

// isOfRows says whether an error is in the rows: data exceptions, and the
// table's own conditions that one does not meet.
func isOfRows(code string) bool {
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23")
}

func (t *postgres) Close() error {
	t.pool.Close()
	return nil
}
