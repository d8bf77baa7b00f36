package mongo

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/maidian/maidian/pkg/event"
)

// An event's document has its fields under their own names: text as strings,
// times as dates, numbers as numbers, properties as a document; and beside
// them batch_id and position.
//
// JSON can say things that BSON, or a server, cannot give back as they were:
// 1.50, a number with thirty digits, "\u00e9" for é, an array in an array.
// Such a field is stored as near as BSON comes, for people and their queries,
// and its exact text goes under its name into the document "exact", which is
// what reading believes.
const exact = "exact"

// mostDepth of nested properties that are stored as documents. Strangers' events are never that deep.
const mostDepth = 32

// key is an event's _id. A project's id has no slash, so this is unambiguous.
func key(project, id string) string { return project + "/" + id }

// encode is e as a document.
func encode(e *event.Event) (bson.Raw, error) {
	if e.Project == "" || e.EventID == "" || e.BatchID == "" || strings.Contains(e.Project, "/") {
		return nil, unstorable("event %q needs a project without a slash, an event id and a batch id, got %q and %q", e.EventID, e.Project, e.BatchID)
	}
	enc := encoder{dst: make([]byte, 0, 1024)}
	start, dst := bsoncore.AppendDocumentStart(enc.dst)
	enc.dst = bsoncore.AppendStringElement(dst, "_id", key(e.Project, e.EventID))
	for i := range event.Fields {
		enc.field(&event.Fields[i], e)
	}
	enc.dst = bsoncore.AppendStringElement(enc.dst, "batch_id", e.BatchID)
	enc.dst = appendWhole(enc.dst, "position", int64(e.Position))
	if len(enc.exact) > 0 {
		enc.dst = bsoncore.AppendDocumentElement(enc.dst, exact, bsoncore.BuildDocument(nil, enc.exact))
	}
	dst, err := bsoncore.AppendDocumentEnd(enc.dst, start)
	return dst, err
}

// encoder collects a document and, in exact, the elements of that name's document.
type encoder struct {
	dst   []byte
	exact []byte
}

func (enc *encoder) field(f *event.Field, e *event.Event) {
	switch f.Kind {
	case event.Text:
		if text := f.TextOf(e); text != "" {
			enc.dst = bsoncore.AppendStringElement(enc.dst, f.Name, enc.valid(f, text))
		}
	case event.Num:
		if digits := string(f.NumberOf(e)); digits != "" {
			dst, same := appendNumber(enc.dst, f.Name, digits)
			enc.dst = dst
			enc.keep(f, digits, same)
		}
	case event.Moment:
		if at := f.TimeOf(e); at != 0 {
			enc.dst = bsoncore.AppendDateTimeElement(enc.dst, f.Name, int64(at))
		}
	case event.Flag:
		if f.FlagOf(e) {
			enc.dst = bsoncore.AppendBooleanElement(enc.dst, f.Name, true)
		}
	case event.Object:
		if text := f.TextOf(e); text != "" {
			enc.object(f, text)
		}
	}
}

// object stores properties and reads them back at once: whether BSON gives
// back the very text is then not a matter of opinion.
func (enc *encoder) object(f *event.Field, text string) {
	enc.dst = bsoncore.AppendHeader(enc.dst, bsoncore.TypeEmbeddedDocument, f.Name)
	start := len(enc.dst)
	enc.dst = appendObject(enc.dst, text, 1)
	back, ok := appendJSONObject(make([]byte, 0, len(text)+16), bson.Raw(enc.dst[start:]))
	enc.keep(f, text, ok && string(back) == text)
}

// valid is text as a server takes it.
func (enc *encoder) valid(f *event.Field, text string) string {
	if utf8.ValidString(text) {
		return text
	}
	enc.keep(f, text, false)
	return strings.ToValidUTF8(text, "\ufffd")
}

// keep notes the exact text unless BSON says the same.
func (enc *encoder) keep(f *event.Field, text string, same bool) {
	switch {
	case same:
	case utf8.ValidString(text):
		enc.exact = bsoncore.AppendStringElement(enc.exact, f.Name, text)
	default:
		enc.exact = bsoncore.AppendBinaryElement(enc.exact, f.Name, bson.TypeBinaryGeneric, []byte(text))
	}
}

// appendNumber writes the number as int32, int64 or double, and says whether
// numberText gives its digits back.
func appendNumber(dst []byte, key, digits string) ([]byte, bool) {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return appendWhole(dst, key, n), strconv.FormatInt(n, 10) == digits
	}
	f, _ := strconv.ParseFloat(digits, 64)
	if math.IsInf(f, 0) {
		f = math.Copysign(math.MaxFloat64, f) // servers differ about infinity; the text is exact
	}
	if f == 0 {
		f = 0 // not -0, which servers differ about too
	}
	return bsoncore.AppendDoubleElement(dst, key, f), string(appendDouble(nil, f)) == digits
}

func appendWhole(dst []byte, key string, n int64) []byte {
	if n == int64(int32(n)) {
		return bsoncore.AppendInt32Element(dst, key, int32(n))
	}
	return bsoncore.AppendInt64Element(dst, key, n)
}

// appendDouble writes a double so that it cannot be taken for a whole number.
func appendDouble(dst []byte, f float64) []byte {
	start := len(dst)
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if strings.IndexByte(string(dst[start:]), '.') < 0 {
		dst = append(dst, ".0"...)
	}
	return dst
}

// appendObject writes a JSON object as a document. Of a key that stands there twice the first wins.
func appendObject(dst []byte, text string, depth int) []byte {
	start, dst := bsoncore.AppendDocumentStart(dst)
	var seen seenKeys
	event.EachProperty(text, func(name string, v event.Value) bool {
		if name = encodeKey(name); seen.first(name) {
			dst = appendValue(dst, name, v, depth)
		}
		return true
	})
	dst, _ = bsoncore.AppendDocumentEnd(dst, start) // it only fails on lengths that are not ours
	return dst
}

func appendArray(dst []byte, text string, depth int) []byte {
	start, dst := bsoncore.AppendDocumentStart(dst)
	i := 0
	event.EachElement(text, func(v event.Value) bool {
		if v.Kind == event.Compound && v.Text[0] == '[' {
			v = event.TextValue(v.Text) // arrays directly in arrays: some servers refuse them
		}
		dst = appendValue(dst, strconv.Itoa(i), v, depth)
		i++
		return true
	})
	dst, _ = bsoncore.AppendDocumentEnd(dst, start)
	return dst
}

func appendValue(dst []byte, key string, v event.Value, depth int) []byte {
	switch {
	case v.Kind == event.Bool:
		return bsoncore.AppendBooleanElement(dst, key, v.Number != 0)
	case v.Kind == event.Numeric:
		dst, _ = appendNumber(dst, key, v.Text)
		return dst
	case v.Kind == event.Absent:
		return bsoncore.AppendNullElement(dst, key)
	case v.Kind == event.String || depth >= mostDepth:
		return bsoncore.AppendStringElement(dst, key, strings.ToValidUTF8(v.Text, "\ufffd"))
	case v.Text[0] == '[':
		return appendArray(bsoncore.AppendHeader(dst, bsoncore.TypeArray, key), v.Text, depth+1)
	}
	return appendObject(bsoncore.AppendHeader(dst, bsoncore.TypeEmbeddedDocument, key), v.Text, depth+1)
}

// seenKeys finds keys that come again; small objects need no map.
type seenKeys struct {
	few  []string
	many map[string]bool
}

func (s *seenKeys) first(key string) bool {
	if s.many != nil {
		again := s.many[key]
		s.many[key] = true
		return !again
	}
	for _, k := range s.few {
		if k == key {
			return false
		}
	}
	if s.few = append(s.few, key); len(s.few) > 16 {
		s.many = make(map[string]bool, 64)
		for _, k := range s.few {
			s.many[k] = true
		}
	}
	return true
}

// Keys of properties are written with % before two hexadecimal digits for
// what servers do not take in a key: . $ NUL and % itself. Two keys are words
// of their own, which no other key becomes: the empty one is a single %, and
// _id, which some servers move to the front, is %_id.
var (
	keyEncoder = strings.NewReplacer("%", "%25", ".", "%2E", "$", "%24", "\x00", "%00")
	keyDecoder = strings.NewReplacer("%25", "%", "%2E", ".", "%24", "$", "%00", "\x00")
)

const (
	emptyKey = "%"
	idKey    = "%_id"
)

func encodeKey(key string) string {
	switch {
	case key == "":
		return emptyKey
	case key == "_id":
		return idKey
	case strings.ContainsAny(key, "%.$\x00"):
		key = keyEncoder.Replace(key)
	}
	return strings.ToValidUTF8(key, "\ufffd")
}

func decodeKey(key string) string {
	switch {
	case key == emptyKey:
		return ""
	case key == idKey:
		return "_id"
	case strings.IndexByte(key, '%') < 0:
		return key
	}
	return keyDecoder.Replace(key)
}

// decode is the event of a document.
func decode(doc bson.Raw) (*event.Event, error) {
	e := new(event.Event)
	var believed bson.Raw
	elements, err := doc.Elements()
	if err != nil {
		return nil, fmt.Errorf("stored event %s is damaged: %w", doc.Lookup("_id"), err)
	}
	for _, element := range elements {
		name, v := element.Key(), element.Value()
		switch name {
		case "batch_id":
			e.BatchID, _ = v.StringValueOK()
		case "position":
			n, _ := v.AsInt64OK()
			e.Position = int(n)
		case exact:
			believed, _ = v.DocumentOK()
		default:
			if f := event.FieldNamed(name); f != nil {
				setField(f, e, v)
			}
		}
	}
	return e, believe(e, believed)
}

// setField takes a value of the field's type; of another one, which only
// somebody else can have written, the field stays absent.
func setField(f *event.Field, e *event.Event, v bson.RawValue) {
	switch f.Kind {
	case event.Text:
		if text, ok := v.StringValueOK(); ok {
			f.SetText(e, text)
		}
	case event.Num:
		if digits := appendJSON(nil, v); v.IsNumber() {
			f.SetNumber(e, event.Number(digits))
		}
	case event.Moment:
		if at, ok := v.DateTimeOK(); ok {
			f.SetTime(e, event.Time(at))
		}
	case event.Flag:
		if yes, ok := v.BooleanOK(); ok {
			f.SetFlag(e, yes)
		}
	case event.Object:
		if doc, ok := v.DocumentOK(); ok {
			if text, ok := appendJSONObject(nil, doc); ok {
				f.SetText(e, string(text))
			}
		}
	}
}

// believe puts the exact texts in the place of what BSON could say.
func believe(e *event.Event, exact bson.Raw) error {
	if exact == nil {
		return nil
	}
	elements, err := exact.Elements()
	if err != nil {
		return fmt.Errorf("stored event %s is damaged: %w", e.EventID, err)
	}
	for _, element := range elements {
		f := event.FieldNamed(element.Key())
		if f == nil {
			continue
		}
		text, ok := element.Value().StringValueOK()
		if _, bytes, binary := element.Value().BinaryOK(); binary {
			text, ok = string(bytes), true
		}
		switch {
		case ok && f.Kind == event.Num:
			f.SetNumber(e, event.Number(text))
		case ok && (f.Kind == event.Text || f.Kind == event.Object):
			f.SetText(e, text)
		}
	}
	return nil
}

// appendJSONObject reverses appendObject; false when doc is no document.
func appendJSONObject(dst []byte, doc bson.Raw) ([]byte, bool) {
	elements, err := doc.Elements()
	if err != nil {
		return dst, false
	}
	dst = append(dst, '{')
	for i, element := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.TextValue(decodeKey(element.Key())).AppendJSON(dst)
		dst = append(dst, ':')
		dst = appendJSON(dst, element.Value())
	}
	return append(dst, '}'), true
}

func appendJSON(dst []byte, v bson.RawValue) []byte {
	switch v.Type {
	case bson.TypeString:
		return event.TextValue(v.StringValue()).AppendJSON(dst)
	case bson.TypeInt32:
		return strconv.AppendInt(dst, int64(v.Int32()), 10)
	case bson.TypeInt64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case bson.TypeDouble:
		if f := v.Double(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return appendDouble(dst, f)
		}
		return append(dst, "null"...)
	case bson.TypeBoolean:
		return strconv.AppendBool(dst, v.Boolean())
	case bson.TypeNull, bson.TypeUndefined:
		return append(dst, "null"...)
	case bson.TypeEmbeddedDocument:
		if text, ok := appendJSONObject(dst, v.Document()); ok {
			return text
		}
	case bson.TypeArray:
		return appendJSONArray(dst, v.Array())
	}
	return append(dst, v.String()...) // types that only somebody else can have written: extended JSON
}

func appendJSONArray(dst []byte, array bson.RawArray) []byte {
	values, err := array.Values()
	if err != nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSON(dst, v)
	}
	return append(dst, ']')
}
