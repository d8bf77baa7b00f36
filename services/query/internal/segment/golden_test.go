package segment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFormat1IsStillRead reads what was once written in the format of version 1.
// With SEGMENT_GOLDEN=write it is written anew, which is right only as long as nobody has segments of this version.
func TestFormat1IsStillRead(t *testing.T) {
	const dir = "testdata/format1"
	if os.Getenv("SEGMENT_GOLDEN") == "write" {
		writeGolden(t, dir, someDay(3, 200))
	}
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
	if got := strings.Join(w.rows(), "\n") + "\n"; got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func writeGolden(t *testing.T, dir string, w *whole) {
	files := map[string][]byte{"rows.txt": []byte(strings.Join(w.rows(), "\n") + "\n")}
	for name, sealed := range w.seal(t) {
		files[strings.ReplaceAll(name, ":", "-")+".part"] = sealed
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
