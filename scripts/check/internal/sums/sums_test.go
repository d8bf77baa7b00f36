package sums

import (
	"reflect"
	"testing"
	"time"
)

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func acts(list ...Act) *Project {
	p := &Project{}
	for _, a := range list {
		p.Add(a)
	}
	p.Prepare()
	return p
}

func at(day, hour int) int64 {
	return monday.AddDate(0, 0, day).Add(time.Duration(hour) * time.Hour).UnixMilli()
}

var week = Range{monday, monday.AddDate(0, 0, 6)}

func TestTotalsKnowWhoADeviceBelongsTo(t *testing.T) {
	p := acts(
		Act{Device: "d1", Type: "view", At: at(0, 1)}, // before the log-in
		Act{Device: "d1", User: "ann", Type: "view", At: at(0, 2)},
		Act{User: "ann", Type: "view", At: at(0, 3)},
		Act{Device: "d2", Type: "view", At: at(0, 4)},
		Act{Session: "s", Type: "buy", At: at(0, 5)},
		Act{User: "bob", Type: "view", At: at(7, 0)}, // after the range
		Act{User: "cid", Type: "view", At: at(6, 23)},
	)
	want := map[string]Count{"view": {5, 3}, "buy": {1, 1}}
	if got := p.Totals(week); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFunnel(t *testing.T) {
	steps := []string{"a", "b", "c"}
	for name, tt := range map[string]struct {
		acts []Act
		want []int
	}{
		"in order":                            {[]Act{{User: "u", Type: "a", At: 0}, {User: "u", Type: "b", At: 5}, {User: "u", Type: "c", At: 9}}, []int{1, 1, 1}},
		"others between":                      {[]Act{{User: "u", Type: "a", At: 0}, {User: "u", Type: "c", At: 3}, {User: "u", Type: "b", At: 5}}, []int{1, 1, 0}},
		"the end of the window is inside":     {[]Act{{User: "u", Type: "a", At: 0}, {User: "u", Type: "b", At: 10}}, []int{1, 1, 0}},
		"behind the window is outside":        {[]Act{{User: "u", Type: "a", At: 0}, {User: "u", Type: "b", At: 11}}, []int{1, 0, 0}},
		"a later start is better":             {[]Act{{User: "u", Type: "a", At: 0}, {User: "u", Type: "a", At: 8}, {User: "u", Type: "b", At: 12}, {User: "u", Type: "c", At: 18}}, []int{1, 1, 1}},
		"equal times convert in either order": {[]Act{{User: "u", Type: "c", At: 4}, {User: "u", Type: "b", At: 4}, {User: "u", Type: "a", At: 4}}, []int{1, 1, 1}},
		"two people":                          {[]Act{{User: "u", Type: "a", At: 0}, {User: "v", Type: "a", At: 0}, {User: "v", Type: "b", At: 1}}, []int{2, 1, 0}},
		"no start":                            {[]Act{{User: "u", Type: "b", At: 0}}, []int{0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range tt.acts {
				tt.acts[i].At += at(1, 0)
			}
			if got := acts(tt.acts...).Funnel(week, steps, 10*time.Millisecond); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRetention(t *testing.T) {
	p := acts(
		Act{User: "ann", Type: "start", At: at(0, 1)}, Act{User: "ann", Type: "back", At: at(0, 2)}, Act{User: "ann", Type: "back", At: at(2, 0)},
		Act{User: "bob", Type: "start", At: at(0, 23)}, Act{User: "bob", Type: "start", At: at(1, 0)}, Act{User: "bob", Type: "back", At: at(2, 23)},
		Act{User: "cid", Type: "back", At: at(1, 0)},
	)
	want := [][]int{{2, 0, 2}, {1, 1}, {0}}
	if got := p.Retention(Range{monday, monday.AddDate(0, 0, 2)}, "start", "back"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
