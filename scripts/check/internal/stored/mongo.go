package stored

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"maidian-check/internal/traffic"
)

type mongoStore struct {
	client *mongo.Client
	db     *mongo.Database
}

// openMongo takes the database from the address's path.
func openMongo(ctx context.Context, uri string) (Store, error) {
	u, err := url.Parse(uri)
	if err != nil || strings.Trim(u.Path, "/") == "" {
		return nil, fmt.Errorf("the address of MongoDB must end in the database's name")
	}
	name := strings.Trim(u.Path, "/")
	u.Path = "/"
	client, err := mongo.Connect(options.Client().ApplyURI(u.String()).SetTimeout(time.Minute))
	if err == nil {
		err = client.Ping(ctx, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("open MongoDB at %s: %w", u.Host, err)
	}
	return &mongoStore{client, client.Database(name)}, nil
}

func (s *mongoStore) Close() error { return s.client.Disconnect(context.Background()) }

func (s *mongoStore) Events(ctx context.Context, yield func(*Event) error) error {
	return s.each(ctx, "events", func(doc bson.Raw) error {
		e, err := eventOf(doc)
		if err != nil {
			return fmt.Errorf("event %s: %w", doc.Lookup("_id"), err)
		}
		return yield(e)
	})
}

func (s *mongoStore) Letters(ctx context.Context) (letters []Letter, err error) {
	err = s.each(ctx, "dead_letters", func(doc bson.Raw) error {
		var l struct {
			ID      string `bson:"_id"`
			Project string
			Reason  string
			Payload []byte
		}
		err := bson.Unmarshal(doc, &l)
		letters = append(letters, Letter{l.ID, l.Project, l.Reason, l.Payload})
		return err
	})
	return letters, err
}

func (s *mongoStore) Journal(ctx context.Context) (map[string]Entry, error) {
	sums := map[string]Entry{}
	return sums, s.each(ctx, "batches", func(doc bson.Raw) error {
		var b struct {
			Project      string
			Stored       int
			Duplicates   int
			DeadLettered int `bson:"dead_lettered"`
		}
		err := bson.Unmarshal(doc, &b)
		e := sums[b.Project]
		sums[b.Project] = Entry{e.Stored + b.Stored, e.Duplicates + b.Duplicates, e.DeadLettered + b.DeadLettered}
		return err
	})
}

func (s *mongoStore) Messages(ctx context.Context) (messages []Message, err error) {
	err = s.each(ctx, "batches", func(doc bson.Raw) error {
		var b struct {
			ID      string `bson:"batch_id"`
			Project string
			Stored  int
			Written bson.DateTime `bson:"written_at"`
		}
		err := bson.Unmarshal(doc, &b)
		if b.Stored > 0 {
			messages = append(messages, Message{b.ID, b.Project, int64(b.Written)})
		}
		return err
	})
	return messages, err
}

func (s *mongoStore) Records(ctx context.Context, kind string) (records []Record, err error) {
	err = s.each(ctx, "records", func(doc bson.Raw) error {
		var r struct {
			Kind    string
			Project string
			ID      string `bson:"record_id"`
			Data    []byte
		}
		err := bson.Unmarshal(doc, &r)
		if r.Kind == kind {
			records = append(records, Record{r.Project, r.ID, r.Data})
		}
		return err
	})
	return records, err
}

func (s *mongoStore) Size(ctx context.Context) (z Size, err error) {
	for name, n := range map[string]*int64{"events": &z.Events, "batches": &z.Batches, "dead_letters": &z.Letters} {
		if *n, err = s.db.Collection(name).CountDocuments(ctx, bson.D{}); err != nil {
			return z, err
		}
	}
	return z, nil
}

func (s *mongoStore) each(ctx context.Context, collection string, row func(bson.Raw) error) error {
	cursor, err := s.db.Collection(collection).Find(ctx, bson.D{})
	if err != nil {
		return err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		if err := row(cursor.Current); err != nil {
			return err
		}
	}
	return cursor.Err()
}

// eventOf reads a document as the store's README describes it: where BSON
// cannot give a field's very text back, that text stands in "exact".
func eventOf(doc bson.Raw) (*Event, error) {
	fields, err := object(doc, false)
	if err != nil {
		return nil, err
	}
	if exact, ok := fields["exact"].(map[string]any); ok {
		delete(fields, "exact")
		for name, text := range exact {
			if fields[name], err = exactly(fields[name], text); err != nil {
				return nil, err
			}
		}
	}
	e := &Event{Fields: fields}
	e.Project, _ = fields["project"].(string)
	e.ID, _ = fields["event_id"].(string)
	e.Batch, _ = fields["batch_id"].(string)
	if n, ok := fields["position"].(json.Number); ok {
		e.Position, err = strconv.Atoi(n.String())
	}
	for _, name := range []string{"_id", "batch_id", "position"} {
		delete(fields, name)
	}
	return e, err
}

// exactly is a field's exact text as a value of the field's kind.
func exactly(near, text any) (any, error) {
	t, _ := text.(string)
	switch near.(type) {
	case json.Number:
		return json.Number(t), nil
	case map[string]any:
		return traffic.Decode([]byte(t))
	}
	return t, nil
}

func object(doc bson.Raw, encoded bool) (map[string]any, error) {
	elements, err := doc.Elements()
	if err != nil {
		return nil, err
	}
	fields := make(map[string]any, len(elements))
	for _, element := range elements {
		name := element.Key()
		if encoded {
			name = decodeKey(name)
		}
		if fields[name], err = value(element.Value(), encoded || name == "properties"); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

func value(v bson.RawValue, encoded bool) (any, error) {
	switch v.Type {
	case bson.TypeString:
		return v.StringValue(), nil
	case bson.TypeInt32, bson.TypeInt64:
		return json.Number(strconv.FormatInt(v.AsInt64(), 10)), nil
	case bson.TypeDouble:
		return double(v.Double()), nil
	case bson.TypeDateTime:
		return json.Number(strconv.FormatInt(v.DateTime(), 10)), nil
	case bson.TypeBoolean:
		return v.Boolean(), nil
	case bson.TypeNull:
		return nil, nil
	case bson.TypeEmbeddedDocument:
		return object(v.Document(), encoded)
	case bson.TypeArray:
		return array(v.Array(), encoded)
	}
	return nil, fmt.Errorf("a value of type %s, which events do not have", v.Type)
}

func array(a bson.RawArray, encoded bool) ([]any, error) {
	values, err := a.Values()
	if err != nil {
		return nil, err
	}
	list := make([]any, len(values))
	for i, v := range values {
		if list[i], err = value(v, encoded); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// double writes a double so that it is not a whole number.
func double(f float64) json.Number {
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	text := strconv.FormatFloat(f, format, -1, 64)
	if format == 'f' && !strings.Contains(text, ".") {
		text += ".0"
	}
	return json.Number(text)
}

var keys = strings.NewReplacer("%25", "%", "%2E", ".", "%24", "$", "%00", "\x00")

func decodeKey(key string) string {
	switch key {
	case "%":
		return ""
	case "%_id":
		return "_id"
	}
	return keys.Replace(key)
}
