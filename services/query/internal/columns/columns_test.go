package columns

import (
	"context"
	"testing"

	"github.com/maidian/maidian/pkg/event"
)

func TestViewOfAFewEvents(t *testing.T) {
	v := FromEvents("shop", []event.Event{
		{EventID: "1", EventType: "view", AnonymousID: "a", Timestamp: 1000, PagePath: "/"},
		{EventID: "2", EventType: "buy", AnonymousID: "a", UserID: "ann", Timestamp: 2000, Properties: `{"amount":5}`},
		{EventID: "3", EventType: "view", UserID: "bob", Timestamp: dayLength + 1},
	})
	if got := len(v.Days(0, dayLength-1)); got != 1 {
		t.Fatalf("days of the first day: got %d, want 1", got)
	}
	d := v.Days(0, 2*dayLength)[0]
	if got := d.Runs(); len(got) != 2 || got[0].Type != "buy" || got[1].Lo != 1 {
		t.Errorf("runs: got %v", got)
	}
	for row, user := range d.Users() {
		if got := v.UserName(user); got != "ann" {
			t.Errorf("user of row %d: got %s, want ann", row, got)
		}
	}
	amount, err := d.Column(context.Background(), "amount")
	if err != nil || amount.Values[amount.Codes[0]].Number != 5 || amount.Codes[1] != 0 {
		t.Errorf("amount: got %v, %v", amount, err)
	}
}
