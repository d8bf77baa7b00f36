package segment

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFormat1IsStillRead reads days that were once written in the format of version 1.
// With SEGMENT_GOLDEN=write they are written anew, which is right only as long as nobody has segments of this version.
func TestFormat1IsStillRead(t *testing.T) {
	if os.Getenv("SEGMENT_GOLDEN") == "write" {
		writeGolden(t, "testdata/format1/small", someDay(3, 200))
		writeGolden(t, "testdata/format1/seeded", seededDays(400, 8, 1)[0])
	}
	for _, day := range []string{"small", "seeded"} {
		t.Run(day, func(t *testing.T) { readGolden(t, "testdata/format1/"+day) })
	}
}

func readGolden(t *testing.T, dir string) {
	files, err := filepath.Glob(dir + "/*.part")
	if err != nil || len(files) == 0 {
		t.Fatalf("no parts in %s: %v", dir, err)
	}
	parts := make(map[string][]byte)
	for _, file := range files {
		sealed, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Open(sealed)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		parts[p.Name] = sealed
	}
	w, err := load(parts)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(dir + "/rows.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := inWords(w); got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// inWords is the day, a line for each row and each meeting.
func inWords(w *whole) string {
	lines := append([]string{fmt.Sprintf("%+v", w.base.Day)}, w.rows()...)
	for _, m := range w.base.Meetings {
		lines = append(lines, fmt.Sprintf("%q met %q at %d in %q", m.Anonymous, w.base.Identities.Text(int(m.User)), m.Time, m.EventID))
	}
	return strings.Join(lines, "\n") + "\n"
}

func writeGolden(t *testing.T, dir string, w *whole) {
	files := map[string][]byte{"rows.txt": []byte(inWords(w))}
	for name, sealed := range w.seal(t) {
		files[strings.ReplaceAll(name, ":", "-")+".part"] = sealed
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
