package columns

import (
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

func TestViewOfAFewEvents(t *testing.T) {
	v := FromEvents("shop", []event.Event{
		{EventID: "1", EventType: "view", AnonymousID: "a", Timestamp: 1000, PagePath: "/"},
		{EventID: "2", EventType: "buy", AnonymousID: "a", UserID: "ann", Timestamp: 2000, Properties: `{"amount":5}`},
		{EventID: "3", EventType: "view", UserID: "bob", Timestamp: dayLength + 1},
	})
	if got := len(v.Starts(0, dayLength-1)); got != 1 {
		t.Fatalf("days of the first day: got %d, want 1", got)
	}
	d := daysOf(t, v, "amount")[0]
	if got := d.Runs(); len(got) != 2 || got[0].Type != "buy" || got[1].Lo != 1 {
		t.Errorf("runs: got %v", got)
	}
	for row, user := range d.Users() {
		if got := v.UserName(user); got != "ann" {
			t.Errorf("user of row %d: got %s, want ann", row, got)
		}
	}
	if amount := d.Column("amount"); amount.At(0).Number != 5 || amount.Codes.At(1) != 0 {
		t.Errorf("amount: got %v", amount)
	}
}
