package table

import (
	"strings"
	"testing"
)

func TestColumnsAreAligned(t *testing.T) {
	tb := Table{Title: "pages", Header: []string{"page", "views"}, Left: 1}
	tb.Add("/é", "12")
	tb.Add("/products", "1,234")
	var out strings.Builder
	if err := tb.Write(&out); err != nil {
		t.Fatal(err)
	}
	const want = `pages
  page       views
  ---------  -----
  /é            12
  /products  1,234

`
	if out.String() != want {
		t.Errorf("got\n%s, want\n%s", out.String(), want)
	}
}
