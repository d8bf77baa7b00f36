package rule

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestAFiringIsReadAsItWasWritten(t *testing.T) {
	value, threshold := 12.5, 10.0
	want := Firing{
		ID: "r/1", Rule: "r", Project: "shop", Name: "Large", Kind: "event", Severity: "critical", Channels: []string{"ops"}, State: StateFiring,
		Value: &value, Op: "gt", Threshold: &threshold, Window: Span{1767225600000, 1767225660000}, Since: 1767225660000, At: 1767225660123,
		Event: &Sample{EventID: "e", EventType: "purchase", Timestamp: 1767225660123, Properties: json.RawMessage(`{"amount":12.5}`)},
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Firing
	if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
