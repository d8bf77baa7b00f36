package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/fault"
)

// TestMessagesOfEveryFormStayReadable reads messages of each form that was ever
// written, and of one that may come: testdata/messages/<form>.message, with what
// must be read of it in <form>.want. A form that is still written is written the
// same, byte for byte. MESSAGE_GOLDEN=write makes the files of the current form.
func TestMessagesOfEveryFormStayReadable(t *testing.T) {
	if os.Getenv("MESSAGE_GOLDEN") == "write" {
		writeMessage(t, "1-sources", Header{Version: 1, BatchID: "019b76da-a800-7000-8000-000000000002", Events: 2, Sources: []Source{{"shop", "k1", 490896, 1}, {"blog", "k\"2", 490897, 1}}}, goldenEvents()...)
		writeMessage(t, "1-tallies", Header{Version: 1, BatchID: "019b76da-a800-7000-8000-000000000003", Tallies: []Tally{{"c1", "shop", "k1", 490896, Accepted, 7}, {"c1", "shop", "k1", 490896, "invalid_json", 1}}})
	}
	forms, err := filepath.Glob("testdata/messages/*.message")
	if err != nil || len(forms) < 4 {
		t.Fatalf("got %v, %v, want the messages of all forms", forms, err)
	}
	for _, form := range forms {
		t.Run(strings.TrimSuffix(filepath.Base(form), ".message"), func(t *testing.T) {
			body, want := golden(t, form), golden(t, strings.TrimSuffix(form, "message")+"want")
			h, events, bad, err := DecodeMessage(body)
			if err != nil || len(bad) > 0 {
				t.Fatalf("got %v, %v", bad, err)
			}
			if got := inWords(h, events); got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if again := message(h, events...); !strings.Contains(form, "future") && !bytes.Equal(again, body) {
				t.Errorf("written again it is\n%s\nwant\n%s", again, body)
			}
		})
	}
}

func golden(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func inWords(h Header, events []Event) string {
	lines := []string{fmt.Sprintf("%+v", h)}
	for i := range events {
		lines = append(lines, fmt.Sprintf("%s %d %s", events[i].BatchID, events[i].Position, events[i].AppendJSON(nil)))
	}
	return strings.Join(lines, "\n") + "\n"
}

func writeMessage(t *testing.T, form string, h Header, events ...Event) {
	t.Helper()
	body := message(h, events...)
	h, events, _, err := DecodeMessage(body)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{".message": body, ".want": []byte(inWords(h, events))} {
		if err := os.WriteFile(filepath.Join("testdata/messages", form+name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func goldenEvents() []Event {
	return []Event{full(), {Project: "blog", EventID: "e2", EventType: "支付 ✅", ReceivedAt: 1767225600500, Properties: `{"$sequence":1}`}}
}

// earlier reads a message as the first readers did, which knew of no sources and
// no tallies: with encoding/json, and deaf to what they did not know.
func earlier(t *testing.T, body []byte) (batch string, events []map[string]any) {
	t.Helper()
	header, rest, _ := strings.Cut(string(body), "\n")
	var first struct {
		Maidian, Events int
		Batch           string
	}
	if err := json.Unmarshal([]byte(header), &first); err != nil || first.Maidian != 1 {
		t.Fatalf("an earlier reader: %v of %s", err, header)
	}
	for line := range strings.Lines(rest) {
		events = append(events, numbers(t, line).(map[string]any))
	}
	if len(events) != first.Events {
		t.Fatalf("an earlier reader: %d lines of %d", len(events), first.Events)
	}
	return first.Batch, events
}

// asWritten are an event's fields as a message has them, found without the encoder.
func asWritten(t *testing.T, e *Event) map[string]any {
	t.Helper()
	fields := map[string]any{}
	for i := range Fields {
		switch f := &Fields[i]; {
		case f.Kind == Flag && f.FlagOf(e):
			fields[f.Name] = true
		case f.Kind == Moment && f.TimeOf(e) != 0:
			fields[f.Name] = json.Number(fmt.Sprint(int64(f.TimeOf(e))))
		case f.Kind == Num && f.NumberOf(e) != "":
			fields[f.Name] = json.Number(f.NumberOf(e))
		case f.Kind == Object && f.TextOf(e) != "":
			fields[f.Name] = numbers(t, f.TextOf(e))
		case f.Kind == Text && f.TextOf(e) != "":
			fields[f.Name] = f.TextOf(e)
		}
	}
	return fields
}

// FuzzMessageVersions writes what clients send as messages, and reads them as an
// earlier reader did and as this one does; then it adds what a later writer
// might, in the header and in the lines, and reads them again: what is known is
// read the same, what is not is passed over, and a later version is left alone.
func FuzzMessageVersions(f *testing.F) {
	f.Add(sample, "trace", `{"id":[1,2]}`, "k1", uint16(3))
	f.Add(`{"event_type":"x","user_id":7,"properties":{"a\n":"\u2028\ud83d"}}`, "", `null`, "k\"\\", uint16(0))
	f.Add(`{"event_type":"x","timestamp":-1,"x_position":-0.0}`, "Batch", `"e\nvents"`, "\n", uint16(40000))
	f.Fuzz(func(t *testing.T, sent, name, value, key string, tally uint16) {
		r, err := ParseOne(sent, "")
		if err != nil || len(r.Events[0].Problems) > 0 || len(sent) > MaxEvent {
			t.Skip("no event")
		}
		first := r.Events[0].Event
		first.Project, first.EventID, first.ReceivedAt, first.IsBot = "shop", "e1", 1767225600500, tally%2 == 0
		second := Event{Project: "blog", EventID: "e2", EventType: "y"}
		key = strings.ToValidUTF8(key, "")
		h := Header{Version: Version, BatchID: "b", Events: 2, Sources: []Source{{"shop", key, 490896, 1}, {"blog", key, -1, 1}}}
		if tally > 0 {
			h.Tallies = []Tally{{key, "shop", key, 490896, Accepted, int(tally)}}
		}
		body := message(h, first, second)

		batch, earlierEvents := earlier(t, body)
		if want := []map[string]any{asWritten(t, &first), asWritten(t, &second)}; batch != "b" || !reflect.DeepEqual(earlierEvents, want) {
			t.Fatalf("an earlier reader got %v\nwant %v", earlierEvents, want)
		}
		first.BatchID, second.BatchID, second.Position = "b", "b", 1
		same := func(body []byte) {
			t.Helper()
			got, events, bad, err := DecodeMessage(body)
			if err != nil || len(bad) > 0 || !reflect.DeepEqual(got, h) || !reflect.DeepEqual(events, []Event{first, second}) {
				t.Fatalf("%s\nis read as %+v %+v, %v %v\nwant %+v %+v %+v", body, got, events, bad, err, h, first, second)
			}
		}
		same(body)
		if extra, ok := unknown(name, value); ok {
			same(bytes.ReplaceAll(body, []byte("}\n"), []byte(","+extra+"}\n")))
			same(bytes.ReplaceAll(append([]byte("\n"), body...), []byte("\n{"), []byte("\n{"+extra+","))[1:])
		}
		_, _, _, err = DecodeMessage(bytes.Replace(body, []byte(`{"maidian":1`), []byte(`{"maidian":2`), 1))
		if fault.KindOf(err) != fault.Unsupported {
			t.Fatalf("a later version: got %v", err)
		}
	})
}

// unknown is a member that this version does not know, on one line.
func unknown(name, value string) (member string, ok bool) {
	var line bytes.Buffer
	if json.Compact(&line, []byte(value)) != nil || strings.Count(value, "[")+strings.Count(value, "{") > maxNesting {
		return "", false
	}
	name = strings.ToValidUTF8(name, "")
	switch name {
	case "maidian", "batch", "events", "sources", "tallies":
		return "", false
	}
	return string(appendQuoted(nil, name)) + ":" + strings.ToValidUTF8(line.String(), ""), FieldNamed(name) == nil
}
