package beside

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/maidian/maidian/services/allinone/internal/table"
)

// Figure is a line of the report: what was measured several times of ours and,
// in turn with it, of another system or in another state of our own.
type Figure struct {
	Name   string
	Unit   string
	Ours   []float64
	Beside string // whose are theirs; empty when nothing stands beside
	Theirs []float64
	Goal   float64 // the ratio, or without something beside it the value itself, is to be at most this; 0 for none
	Broken error   // the answers differ
}

func (f *Figure) ratio() float64 { return median(f.Ours) / median(f.Theirs) }

// reached compares what the goal is about; medians, as the ratio does.
func (f *Figure) reached() string {
	value := median(f.Ours)
	if f.Beside != "" {
		value = f.ratio()
	}
	switch {
	case f.Broken != nil:
		return "WRONG"
	case f.Goal == 0:
		return ""
	case value <= f.Goal:
		return "yes"
	}
	return "no"
}

func (f *Figure) goal() string {
	switch {
	case f.Goal == 0:
		return ""
	case f.Beside == "":
		return "≤ " + digits(f.Goal)
	case f.Goal < 1:
		return fmt.Sprintf("≤ 1/%.0f", 1/f.Goal)
	}
	return "≤ " + digits(f.Goal) + "×"
}

// Write writes figures as one table.
func Write(w io.Writer, figures []Figure) error {
	t := table.Table{Header: []string{"what", "unit", "ours min", "median", "beside it", "min", "median", "ratio", "goal", "reached"}, Left: 2}
	for i := range figures {
		f := &figures[i]
		cells := []string{f.Name, f.Unit, digits(least(f.Ours)), digits(median(f.Ours)), f.Beside, "", "", "", f.goal(), f.reached()}
		if f.Beside != "" {
			cells[5], cells[6], cells[7] = digits(least(f.Theirs)), digits(median(f.Theirs)), fmt.Sprintf("%.3f", f.ratio())
		}
		t.Add(cells...)
	}
	return t.Write(w)
}

// digits shows three of them.
func digits(x float64) string {
	if x == 0 || math.IsNaN(x) || x >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.*f", max(0, min(4, 2-int(math.Floor(math.Log10(x))))), x)
}

func least(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return slices.Min(values)
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile is the value that the part q of the values does not exceed.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
