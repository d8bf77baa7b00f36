package faults

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
)

// patch is a change to one file of the product, for one build only. Old must
// be there exactly once; with no Old the file is a new one.
type patch struct{ file, old, new string }

// programs are built once and kept until the tests are over.
type programs struct {
	mu    sync.Mutex
	dir   string
	built map[string]string
}

var built programs

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(number("FAULT_PARALLEL", 1))); err != nil {
		panic(err)
	}
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// build makes a program of the workspace with the patches laid over its
// sources, and returns its path.
func build(t testing.TB, name string, patches ...patch) string {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "maidian-faults-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir, built.built = dir, map[string]string{}
	}
	key := fmt.Sprint(name, patches)
	if path, ok := built.built[key]; ok {
		return path
	}
	path := filepath.Join(built.dir, fmt.Sprintf("%d-%s", len(built.built), filepath.Base(name)))
	compile(t, testenv.Root(t), name, path, patches)
	built.built[key] = path
	return path
}

// compile lays the patched files over the sources: nothing is copied, and what
// no patch concerns comes out of Go's cache.
func compile(t testing.TB, root, name, path string, patches []patch) {
	t.Helper()
	args := []string{"build", "-buildvcs=false", "-trimpath", "-o", path}
	if len(patches) > 0 {
		args = append(args, "-overlay", overlay(t, root, path, patches))
	}
	cmd := exec.Command("go", append(args, "./"+name)...)
	cmd.Dir = root
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, said)
	}
}

// overlay writes the patched files and the list of them that go build reads.
func overlay(t testing.TB, root, path string, patches []patch) string {
	t.Helper()
	replace := map[string]string{}
	for i, p := range patches {
		original := filepath.Join(root, p.file)
		source := original
		if earlier, ok := replace[original]; ok {
			source = earlier
		}
		changed := fmt.Sprintf("%s.%d.go", path, i)
		if err := os.WriteFile(changed, p.apply(t, source), 0o644); err != nil {
			t.Fatal(err)
		}
		replace[original] = changed
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := path + ".overlay.json"
	if err := os.WriteFile(list, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return list
}

// apply is the patched text of a file.
func (p patch) apply(t testing.TB, source string) []byte {
	t.Helper()
	if p.old == "" {
		return []byte(p.new)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatalf("the patch of %s: %v", p.file, err)
	}
	if n := strings.Count(string(text), p.old); n != 1 {
		t.Fatalf("the patch of %s no longer applies: the text below is there %d times, not once; bring the patch in line with the source\n%s", p.file, n, p.old)
	}
	return []byte(strings.Replace(string(text), p.old, p.new, 1))
}
