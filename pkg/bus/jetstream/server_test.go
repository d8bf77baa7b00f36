package jetstream

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"go.uber.org/zap"
)

func TestStartSaysInOneLineWhatIsWrong(t *testing.T) {
	used := t.TempDir()
	s := start(t, Config{Dir: used})
	defer stop(t, s)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"a directory in use":     {Config{Dir: used}, "another process is using it"},
		"a file for a directory": {Config{Dir: file}, "not a directory"},
		"below a file":           {Config{Dir: filepath.Join(file, "sub")}, "not a directory"},
		"nothing":                {Config{}, "data directory"},
		"a limit below nothing":  {Config{Dir: t.TempDir(), MaxMessages: -1}, "most messages"},
		"another below nothing":  {Config{Dir: t.TempDir(), MaxBytes: -1}, "most bytes"},
	} {
		s, err := Start(c.cfg, zap.NewNop())
		if err == nil {
			stop(t, s)
			t.Errorf("%s: it started", name)
			continue
		}
		if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "\n") {
			t.Errorf("%s: got %q, want one line with %q", name, text, c.want)
		}
	}
}

func TestMemoryModeLeavesNothingBehind(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	s := start(t, Config{Memory: true})
	p, err := s.Publisher(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), bus.Message{ID: "m"}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Depth(t.Context()); n != 1 || err != nil {
		t.Errorf("the depth is %d (%v), want 1", n, err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	stop(t, s)
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// Changing the limits of a queue keeps what is in it.
func TestASecondStartFindsAllMessagesUnderNewLimits(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := start(t, cfg)
	p, err := s.Publisher(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c"} {
		if err := p.Publish(t.Context(), bus.Message{ID: id, Body: []byte("body of " + id)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	stop(t, s)
	cfg.MaxMessages = 50
	s = start(t, cfg)
	defer stop(t, s)
	if n, err := s.Depth(t.Context()); n != 3 || err != nil {
		t.Errorf("after a second start the depth is %d (%v), want 3", n, err)
	}
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}
