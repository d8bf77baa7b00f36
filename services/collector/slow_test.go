//go:build unix

package collector_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/services/collector"
)

// lingering are ways to hold a connection: what is sent at once, and what then
// drips, a byte at a time, for as long as the server has patience.
var lingering = map[string]struct{ first, drip string }{
	"nothing at all":  {"", ""},
	"a slow header":   {"POST " + one + " HTTP/1.1\r\nHost: x\r\nX-Slow: ", "a"},
	"half a header":   {"POST " + one + " HTTP/1.1\r\nHost:", ""},
	"a slow body":     {strings.TrimSuffix(post(one, strings.Repeat(" ", 10_000)), strings.Repeat(" ", 10_000)), " "},
	"half a body":     {"POST " + one + " HTTP/1.1\r\nHost: x\r\nX-API-Key: wk_test\r\nContent-Length: 100\r\n\r\n{", ""},
	"a body unasked":  {"POST " + one + " HTTP/1.1\r\nHost: x\r\nX-API-Key: wk_unknown\r\nContent-Length: 100\r\n\r\n{", " "},
	"an idle one":     {post(one, `{"event_type":"x"}`), ""},
	"half a pipeline": {post(one, `{"event_type":"x"}`) + "POST /", ""},
}

// TestSlowClientsHurtNobodyAndAreEnded: while they hold their connections
// others are answered, and it is the server that ends them.
func TestSlowClientsHurtNobodyAndAreEnded(t *testing.T) {
	const each = 25
	c := serve(t, accepting{}, func(cfg *collector.Config) {
		cfg.HeaderTimeout, cfg.BodyTimeout, cfg.IdleTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	})
	ended := make(chan error)
	for name, s := range lingering {
		for range each {
			conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				err := untilEnded(conn, s.first, s.drip)
				if err != nil {
					err = fmt.Errorf("%s: %w", name, err)
				}
				ended <- err
			}()
		}
	}
	for i, left := 0, each*len(lingering); left > 0; i++ {
		if status := c.post(t, fmt.Sprint("meanwhile", i), 3); status != http.StatusOK {
			t.Fatalf("a good request beside %d slow ones: status %d", left, status)
		}
		for done := false; !done; {
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
				left--
			default:
				done = true
			}
		}
	}
}

// untilEnded sends slowly until the server hangs up; that it does not is the error.
func untilEnded(conn net.Conn, first, drip string) error {
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, first); err != nil {
		return err
	}
	hungUp := make(chan struct{})
	defer func() { <-hungUp }()
	go func() {
		defer close(hungUp)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(conn, drip); err != nil || drip == "" {
				return
			}
		}
	}()
	_, err := io.Copy(io.Discard, conn)
	conn.Close()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("held open: %w", err)
	}
	return nil // ended in order, or torn while something was on its way
}
