package mongo

import (
	"strings"
	"testing"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/maidian/maidian/pkg/event"
)

func TestADocumentLooksAsPeopleExpect(t *testing.T) {
	doc, err := encode(&event.Event{
		Project: "demo", EventID: "e1", EventType: "purchase", Timestamp: 1767225600123, XPosition: "10", Duration: "1.5", LoadTime: "1.50", IsBot: true,
		Properties: `{"amount":99.5,"count":3,"big":3000000000,"a.b":{"$c":null},"items":[{"id":"x"},[1]],"sum":10.00}`, BatchID: "b1", Position: 7,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := bson.MarshalExtJSON(doc, true, false)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"_id":"demo/e1","project":"demo","event_id":"e1","event_type":"purchase","timestamp":{"$date":{"$numberLong":"1767225600123"}},` +
		`"x_position":{"$numberInt":"10"},"duration":{"$numberDouble":"1.5"},"load_time":{"$numberDouble":"1.5"},"is_bot":true,` +
		`"properties":{"amount":{"$numberDouble":"99.5"},"count":{"$numberInt":"3"},"big":{"$numberLong":"3000000000"},"a%2Eb":{"%24c":null},` +
		`"items":[{"id":"x"},"[1]"],"sum":{"$numberDouble":"10.0"}},"batch_id":"b1","position":{"$numberInt":"7"},` +
		`"exact":{"load_time":"1.50","properties":"{\"amount\":99.5,\"count\":3,\"big\":3000000000,\"a.b\":{\"$c\":null},\"items\":[{\"id\":\"x\"},[1]],\"sum\":10.00}"}}`
	if string(got) != want {
		t.Errorf("document:\n got %s\nwant %s", got, want)
	}
}

func TestExactIsKeptOnlyWhereBSONFallsShort(t *testing.T) {
	for properties, want := range map[string]bool{
		`{}`: false, `{"a":1,"b":1.5,"c":"é","d":[1,{"e":null}],"f":{"g":true}}`: false, `{"a.b":1,"$":2,"":3,"_id":4,"%":5}`: false,
		`{"a":1.0}`: false, `{"a":1e+21}`: false, `{"a":-5}`: false, `{"a":9223372036854775807}`: false, `{"a":"\n\u0000"}`: false,
		`{"a":1.50}`: true, `{"a":-0}`: true, `{"a":[[1]]}`: true, `{"a":"\u00e9"}`: true, `{"a":9223372036854775808}`: true, `{"a":1,"a":2}`: true,
	} {
		doc, err := encode(&event.Event{Project: "p", EventID: "e", EventType: "t", BatchID: "b", Properties: properties})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := doc.LookupErr(exact); (err == nil) != want {
			t.Errorf("%s: exact text kept is %v, want %v", properties, err == nil, want)
		}
	}
}

func TestADocumentOfOthersIsReadAsFarAsItGoes(t *testing.T) {
	doc, err := bson.Marshal(bson.D{
		{Key: "_id", Value: "p/e"},
		{Key: "project", Value: "p"},
		{Key: "event_id", Value: "e"},
		{Key: "event_type", Value: 5},
		{Key: "unknown", Value: true},
		{Key: "position", Value: 3.0},
		{Key: "timestamp", Value: "yesterday"},
		{Key: "properties", Value: bson.D{{Key: "id", Value: bson.NewObjectID()}, {Key: "n", Value: int64(1)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	if e.EventID != "e" || e.EventType != "" || e.Position != 3 || e.Timestamp != 0 || !strings.Contains(e.Properties, `"$oid"`) {
		t.Errorf("got %+v", e)
	}
}

func FuzzKeys(f *testing.F) {
	for _, key := range []string{"", "%", "%%", "%_id", "_id", "%25", "a.b", "$x", "\x00", "%252E", "%2e", "é"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if !utf8.ValidString(key) {
			return // such an object is kept as text
		}
		encoded := encodeKey(key)
		if encoded == "" || strings.ContainsAny(encoded, ".$\x00") || encoded == "_id" {
			t.Errorf("%q is written as %q, which servers do not take", key, encoded)
		}
		if back := decodeKey(encoded); back != key {
			t.Errorf("%q is written as %q and read as %q", key, encoded, back)
		}
	})
}

// FuzzDocuments gives any line of a message that is an event back as it was.
func FuzzDocuments(f *testing.F) {
	f.Add(`{"project":"p","event_id":"e","event_type":"t","properties":{"a.b":[[1.50]],"":{"$":"\u00e9"}},"duration":1e400,"timestamp":-1}`)
	f.Add("{\"project\":\"p\",\"event_id\":\"e\",\"event_type\":\"\xff\",\"properties\":{\"\xff\":1,\"\xfe\":2,\"a\":\"\xff\"}}")
	f.Fuzz(func(t *testing.T, line string) {
		e, err := event.DecodeWire(line)
		if err != nil || strings.Contains(e.Project, "/") {
			return
		}
		e.BatchID, e.Position = "b", 1
		if !utf8.ValidString(e.Project) || !utf8.ValidString(e.EventID) {
			return // ids come from us and from the contract's alphabet
		}
		doc, err := encode(&e)
		if err != nil {
			t.Fatal(err)
		}
		if err := doc.Validate(); err != nil {
			t.Fatal(err)
		}
		back, err := decode(doc)
		if err != nil {
			t.Fatal(err)
		}
		if *back != e {
			t.Errorf("got %+v\nwant %+v", *back, e)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := event.Event{
		Project: "demo", EventID: "0190b4a0-0000-7000-8000-000000000000", EventType: "product_view", UserID: "u1", SessionID: "s1", Timestamp: 1767225600123,
		PageURL: "https://shop.example/products/1", UserAgent: "Mozilla/5.0", Browser: "Chrome", Properties: `{"product_id":"p-1","price":12.5,"category":"shoes","list":["a","b"]}`, BatchID: "b",
	}
	for b.Loop() {
		if _, err := encode(&e); err != nil {
			b.Fatal(err)
		}
	}
}
