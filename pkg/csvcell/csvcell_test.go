package csvcell

import (
	"strings"
	"testing"
)

func TestACellNeverStartsAFormula(t *testing.T) {
	tests := map[string]string{
		"":                "",
		"plain":           "plain",
		"a=1":             "a=1",
		"=1+1":            "'=1+1",
		"+49":             "'+49",
		"-5":              "'-5",
		"@SUM(A1)":        "'@SUM(A1)",
		"\t=1":            "'\t=1",
		"\r=1":            "'\r=1",
		"\n=1":            "'\n=1",
		"＝1+1":            "'＝1+1",
		"'quoted":         "'quoted",
		"'=1":             "''=1",
		"''-1":            "'''-1",
		"=cmd|' /C calc'": "'=cmd|' /C calc'",
	}
	for text, want := range tests {
		if got := Guard(text); got != want {
			t.Errorf("Guard(%q): got %q, want %q", text, got, want)
		}
	}
}

func FuzzGuard(f *testing.F) {
	for _, s := range []string{"", "=", "'", "''=", "é", "\xff", "-\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := Guard(text)
		if got := Bare(c); got != text {
			t.Errorf("Bare(Guard(%q)): got %q", text, got)
		}
		if c != "" && strings.ContainsAny(c[:1], "=+-@\t\r\n") {
			t.Errorf("Guard(%q) is %q, which starts a formula", text, c)
		}
	})
}
