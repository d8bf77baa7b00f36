package stored

import (
	"database/sql"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"maidian-check/internal/traffic"
)

func TestSQLiteIsReadBesideItsWriter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "maidian.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`PRAGMA journal_mode = WAL;
		CREATE TABLE events (project TEXT, event_id TEXT, batch_id TEXT, position INTEGER, body TEXT);
		CREATE TABLE batches (batch_id TEXT, written_at INTEGER, project TEXT, stored INTEGER, duplicates INTEGER, dead_lettered INTEGER);
		CREATE TABLE dead_letters (letter_id TEXT, project TEXT, reason TEXT, payload BLOB);
		INSERT INTO events VALUES ('p', 'e1', 'b', 3, '{"amount":1.50}');
		INSERT INTO batches VALUES ('b', 7, 'p', 1, 2, 3), ('c', 8, 'p', 10, 20, 30), ('b', 7, 'q', 1, 0, 0), ('d', 9, 'q', 0, 0, 0);
		CREATE TABLE records (kind TEXT, project TEXT, record_id TEXT, data BLOB);
		INSERT INTO records VALUES ('firing', 'p', 'f', x'7b7d'), ('lease', 'p', 'l', x'');
		INSERT INTO dead_letters VALUES ('b/1', '', 'torn', x'00ff');`); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), "sqlite:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []Event
	if err := s.Events(t.Context(), func(e *Event) error { got = append(got, *e); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].ID != "e1" || got[0].Position != 3 || traffic.Hash(got[0].Fields) != hashOf(t, `{"amount":1.50}`) {
		t.Errorf("got %+v", got)
	}
	journal, err := s.Journal(t.Context())
	if want := map[string]Entry{"p": {11, 22, 33}, "q": {1, 0, 0}}; err != nil || !reflect.DeepEqual(journal, want) {
		t.Errorf("journal: got %v, %v, want %v", journal, err, want)
	}
	letters, err := s.Letters(t.Context())
	if err != nil || len(letters) != 1 || string(letters[0].Payload) != "\x00\xff" {
		t.Errorf("letters: got %v, %v", letters, err)
	}
	if size, err := s.Size(t.Context()); err != nil || size != (Size{1, 4, 1}) {
		t.Errorf("size: got %v, %v", size, err)
	}
	messages, err := s.Messages(t.Context())
	if want := []Message{{"b", "p", 7}, {"c", "p", 8}, {"b", "q", 7}}; err != nil || !reflect.DeepEqual(messages, want) {
		t.Errorf("messages: got %v, %v, want %v", messages, err, want)
	}
	records, err := s.Records(t.Context(), "firing")
	if want := []Record{{"p", "f", []byte("{}")}}; err != nil || !reflect.DeepEqual(records, want) {
		t.Errorf("records: got %v, %v, want %v", records, err, want)
	}
	if _, err := s.(*sqliteStore).db.Exec(`DELETE FROM events`); err == nil {
		t.Error("the checker could change what it checks")
	}
}

func TestADocumentMeansItsEvent(t *testing.T) {
	doc, err := bson.Marshal(bson.D{
		{Key: "_id", Value: "p/e1"},
		{Key: "project", Value: "p"},
		{Key: "event_id", Value: "e1"},
		{Key: "timestamp", Value: bson.NewDateTimeFromTime(time.UnixMilli(1234))},
		{Key: "x_position", Value: 1.5},
		{Key: "duration", Value: 2.0},
		{Key: "load_time", Value: 0.1234567},
		{Key: "scroll_depth", Value: int32(7)},
		{Key: "is_bot", Value: true},
		{Key: "properties", Value: bson.D{
			{Key: "%24set%2Ex", Value: bson.D{{Key: "%", Value: "empty"}}},
			{Key: "%_id", Value: int64(1) << 40},
			{Key: "list", Value: bson.A{nil, "[]", true}},
		}},
		{Key: "batch_id", Value: "b"},
		{Key: "position", Value: int32(9)},
		{Key: "exact", Value: bson.D{{Key: "load_time", Value: "0.12345670"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := eventOf(doc)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"project":"p","event_id":"e1","timestamp":1234,"x_position":1.5,"duration":2.0,"load_time":0.12345670,"scroll_depth":7,"is_bot":true,
		"properties":{"$set.x":{"":"empty"},"_id":1099511627776,"list":[null,"[]",true]}}`
	if e.Project != "p" || e.ID != "e1" || e.Batch != "b" || e.Position != 9 || traffic.Hash(e.Fields) != hashOf(t, want) {
		t.Errorf("got %+v", e)
	}
}

func TestExactPropertiesAreBelieved(t *testing.T) {
	doc, err := bson.Marshal(bson.D{
		{Key: "properties", Value: bson.D{{Key: "price", Value: 1.5}}},
		{Key: "exact", Value: bson.D{{Key: "properties", Value: `{"price":1.50,"lists":[[1]]}`}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := eventOf(doc)
	if err != nil || traffic.Hash(e.Fields) != hashOf(t, `{"properties":{"price":1.50,"lists":[[1]]}}`) {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestAddressesOfStores(t *testing.T) {
	for _, at := range []string{"", "postgres://x", "mongodb://127.0.0.1:1/", "sqlite:" + filepath.Join(t.TempDir(), "none", "x.db")} {
		if s, err := Open(t.Context(), at); err == nil {
			s.Close()
			t.Errorf("%q was opened", at)
		}
	}
}

func hashOf(t *testing.T, text string) string {
	t.Helper()
	object, err := traffic.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return traffic.Hash(object)
}
