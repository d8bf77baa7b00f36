package allinone_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
)

// What production runs holds no embedded server, and needs no C library.
func TestServiceBinariesHoldNoEmbeddedServers(t *testing.T) {
	root := testenv.Root(t)
	for _, name := range []string{"collector", "consumer", "query"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(root, "services", name)
			unwanted := []string{"nats-io/nats-server", "nats-io/nats.go", "modernc.org/sqlite", "maidian/pkg/testenv", "maidian/pkg/bus/jetstream", "maidian/pkg/store/sqlite"}
			if name != "consumer" { // the clients of warehouses weigh more than all the rest
				unwanted = append(unwanted, "cloud.google.com/go/bigquery", "snowflakedb/gosnowflake", "apache/arrow")
			}
			for _, dep := range strings.Fields(command(t, dir, "go", "list", "-deps", "./cmd/"+name)) {
				if slices.ContainsFunc(unwanted, func(part string) bool { return strings.Contains(dep, part) }) {
					t.Errorf("%s depends on %s", name, dep)
				}
			}
			binary := filepath.Join(t.TempDir(), name)
			command(t, dir, "go", "build", "-o", binary, "./cmd/"+name)
			if version := command(t, dir, binary, "-version"); !strings.HasPrefix(version, name+" ") {
				t.Errorf("-version prints %q", version)
			}
			if help := command(t, dir, binary, "-help"); !strings.Contains(help, "LOG_LEVEL") || !strings.Contains(help, "MONGODB_URI") {
				t.Errorf("-help prints no table of variables:\n%s", help)
			}
		})
	}
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
