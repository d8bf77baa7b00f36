package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations bring a database from schema version i to i+1. They are only ever
// added to: a file in the field may stand at any of them.
//
// events is a table with its own row numbers and two indexes, no more: both
// grow at their right end when event ids are time-ordered. A table clustered
// on its key (WITHOUT ROWID) would drag the bodies along whenever a page of
// keys is split; it took four times as long with ids a little out of order.
//
// segments has row numbers too: where a table is clustered on its key, all data
// of the rows met on the way to a key are read, large as they are.
//
// The other tables are WITHOUT ROWID because they are small.
var migrations = []string{`
CREATE TABLE events (
	project  TEXT    NOT NULL,
	event_id TEXT    NOT NULL,
	batch_id TEXT    NOT NULL,
	position INTEGER NOT NULL,
	body     TEXT    NOT NULL, -- the event as JSON, times in epoch milliseconds
	PRIMARY KEY (project, event_id)
) STRICT;
CREATE INDEX events_batch ON events (batch_id, position);

CREATE TABLE batches (
	written_at    INTEGER NOT NULL,
	batch_id      TEXT    NOT NULL,
	project       TEXT    NOT NULL,
	received_at   INTEGER NOT NULL,
	stored        INTEGER NOT NULL,
	duplicates    INTEGER NOT NULL,
	dead_lettered INTEGER NOT NULL,
	days          TEXT    NOT NULL, -- JSON array of days since 1970-01-01
	PRIMARY KEY (batch_id, project)
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_written ON batches (written_at, batch_id, project);

CREATE TABLE dead_letters (
	letter_id  TEXT    NOT NULL PRIMARY KEY,
	project    TEXT    NOT NULL,
	batch_id   TEXT    NOT NULL,
	position   INTEGER NOT NULL,
	reason     TEXT    NOT NULL,
	payload    BLOB    NOT NULL,
	attempts   INTEGER NOT NULL,
	first_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_letters_project ON dead_letters (project, letter_id);

CREATE TABLE projects (
	project    TEXT    NOT NULL PRIMARY KEY,
	name       TEXT    NOT NULL,
	timezone   TEXT    NOT NULL,
	currency   TEXT    NOT NULL,
	origins    TEXT    NOT NULL, -- JSON array
	ip_policy  TEXT    NOT NULL,
	keys       TEXT    NOT NULL, -- JSON array
	created_at INTEGER NOT NULL,
	revision   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE segments (
	project TEXT    NOT NULL,
	day     INTEGER NOT NULL, -- since 1970-01-01
	name    TEXT    NOT NULL,
	part    INTEGER NOT NULL,
	data    BLOB    NOT NULL,
	PRIMARY KEY (project, day, name, part)
) STRICT;
`, `
ALTER TABLE batches ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;

CREATE TABLE jobs (
	project     TEXT    NOT NULL,
	job_id      TEXT    NOT NULL,
	kind        TEXT    NOT NULL,
	state       TEXT    NOT NULL,
	counts      TEXT    NOT NULL, -- JSON object
	error       TEXT    NOT NULL,
	created_at  INTEGER NOT NULL,
	started_at  INTEGER NOT NULL,
	finished_at INTEGER NOT NULL, -- 0 until then
	task        BLOB,
	holder      TEXT    NOT NULL,
	held_until  INTEGER NOT NULL,
	revision    INTEGER NOT NULL,
	PRIMARY KEY (project, job_id)
) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE batches ADD COLUMN accounts TEXT NOT NULL DEFAULT ''; -- JSON array, empty for none
ALTER TABLE dead_letters ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN hour INTEGER NOT NULL DEFAULT 0;

CREATE TABLE tallies (
	project    TEXT    NOT NULL,
	hour       INTEGER NOT NULL, -- since 1970-01-01
	key        TEXT    NOT NULL,
	collector  TEXT    NOT NULL,
	outcome    TEXT    NOT NULL,
	events     INTEGER NOT NULL,
	written_at INTEGER NOT NULL,
	PRIMARY KEY (project, hour, key, collector, outcome)
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE discards (
	discard_id TEXT    NOT NULL PRIMARY KEY,
	letter_id  TEXT    NOT NULL,
	project    TEXT    NOT NULL,
	batch_id   TEXT    NOT NULL,
	position   INTEGER NOT NULL,
	first_seen INTEGER NOT NULL,
	at         INTEGER NOT NULL,
	made_by    TEXT    NOT NULL,
	address    TEXT    NOT NULL,
	reason     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX discards_project ON discards (project, discard_id);
`, `
CREATE TABLE records (
	key       TEXT    NOT NULL PRIMARY KEY, -- kind/project/id
	kind      TEXT    NOT NULL,
	project   TEXT    NOT NULL,
	record_id TEXT    NOT NULL,
	due       INTEGER NOT NULL, -- 0: never
	data      BLOB,
	revision  INTEGER NOT NULL
) STRICT;
CREATE INDEX records_due ON records (kind, due) WHERE due > 0;
`, `
ALTER TABLE batches ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN retention_days INTEGER NOT NULL DEFAULT 0; -- 0: for ever
ALTER TABLE projects ADD COLUMN pruned_before INTEGER NOT NULL DEFAULT 0; -- day since 1970-01-01; 0: none
`}

// migrate brings the database to this program's schema, and refuses one that
// a newer program wrote.
func migrate(ctx context.Context, db *sql.DB, steps []string) error {
	var version int
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("its schema has version %d, this program knows versions up to %d: use the newer program that wrote it", version, len(steps))
	}
	for ; version < len(steps); version++ {
		if err := step(ctx, db, version, steps[version]); err != nil {
			return fmt.Errorf("migrate the schema from version %d to %d: %w", version, version+1, err)
		}
	}
	return nil
}

// step runs one migration and notes it in the same transaction.
func step(ctx context.Context, db *sql.DB, version int, change string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, change); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, version+1)); err != nil {
		return err
	}
	return tx.Commit()
}
