-- A store as programs of schema version 6 left it. It is never changed.
CREATE TABLE batches (
	written_at    INTEGER NOT NULL,
	batch_id      TEXT    NOT NULL,
	project       TEXT    NOT NULL,
	received_at   INTEGER NOT NULL,
	stored        INTEGER NOT NULL,
	duplicates    INTEGER NOT NULL,
	dead_lettered INTEGER NOT NULL,
	days          TEXT    NOT NULL, erased INTEGER NOT NULL DEFAULT 0, accounts TEXT NOT NULL DEFAULT '', -- JSON array of days since 1970-01-01
	PRIMARY KEY (batch_id, project)
) STRICT, WITHOUT ROWID;
INSERT INTO "batches" VALUES(1767225600001,'b0','shop',1767225599991,0,2,0,'[]',0,'');
INSERT INTO "batches" VALUES(1767225600000,'b1','shop',1767225599995,3,1,0,'[20454]',1,'[{"Key":"key_1","Hour":490896,"Stored":3,"Duplicates":1,"DeadLettered":0,"Dropped":{"age":4}}]');
CREATE TABLE dead_letters (
	letter_id  TEXT    NOT NULL PRIMARY KEY,
	project    TEXT    NOT NULL,
	batch_id   TEXT    NOT NULL,
	position   INTEGER NOT NULL,
	reason     TEXT    NOT NULL,
	payload    BLOB    NOT NULL,
	attempts   INTEGER NOT NULL,
	first_seen INTEGER NOT NULL
, key TEXT NOT NULL DEFAULT '', hour INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
INSERT INTO "dead_letters" VALUES('b1/4','shop','b1',4,'panic',X'7B2278223A317D',2,1767225600000,'',0);
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
CREATE TABLE events (
	project  TEXT    NOT NULL,
	event_id TEXT    NOT NULL,
	batch_id TEXT    NOT NULL,
	position INTEGER NOT NULL,
	body     TEXT    NOT NULL, -- the event as JSON, times in epoch milliseconds
	PRIMARY KEY (project, event_id)
) STRICT;
INSERT INTO "events" VALUES('shop','e1','b1',0,'{"project":"shop","event_id":"e1","event_type":"purchase","user_id":"ann","timestamp":1767225600000,"received_at":1767225600200,"properties":{"amount":1.50}}');
INSERT INTO "events" VALUES('shop','e2','b1',1,'{}');
INSERT INTO "events" VALUES('shop','e3','b1',2,'{"project":"shop","event_id":"e3","event_type":"click","timestamp":1767225600000,"mood":"good"}');
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
INSERT INTO "jobs" VALUES('shop','job_1','erase','running','{"events":3}','',1767225600000,1767225600001,0,X'7B22757365725F6964223A22616E6E227D','h',1767225600002,4);
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
INSERT INTO "projects" VALUES('shop','Shop','Europe/Berlin','EUR','["https://shop.example"]','mask','[{"id":"k1","kind":"write","prefix":"wk_ab","hash":"00ff","created_at":1767225600000}]',1767225600000,2);
CREATE TABLE records (
	key       TEXT    NOT NULL PRIMARY KEY, -- kind/project/id
	kind      TEXT    NOT NULL,
	project   TEXT    NOT NULL,
	record_id TEXT    NOT NULL,
	due       INTEGER NOT NULL, -- 0: never
	data      BLOB,
	revision  INTEGER NOT NULL
) STRICT;
INSERT INTO "records" VALUES('rule/shop/r1','rule','shop','r1',1767225600000,X'7B7D',1);
CREATE TABLE segments (
	project TEXT    NOT NULL,
	day     INTEGER NOT NULL, -- since 1970-01-01
	name    TEXT    NOT NULL,
	part    INTEGER NOT NULL,
	data    BLOB    NOT NULL,
	PRIMARY KEY (project, day, name, part)
) STRICT;
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
INSERT INTO "tallies" VALUES('shop',490896,'key_1','c1','accepted',12,1767225600000);
CREATE INDEX events_batch ON events (batch_id, position);
CREATE INDEX batches_written ON batches (written_at, batch_id, project);
CREATE INDEX dead_letters_project ON dead_letters (project, letter_id);
CREATE INDEX discards_project ON discards (project, discard_id);
CREATE INDEX records_due ON records (kind, due) WHERE due > 0;
PRAGMA user_version = 6;
