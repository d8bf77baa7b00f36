package importer

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// showProgress writes a line about the import now and then, over the last one
// where that is a terminal. The function it returns ends it.
func (j *job) showProgress(ctx context.Context) (stop func()) {
	if j.Progress == nil {
		return func() {}
	}
	every, begin, end := 5*time.Second, "", "\n"
	if isTerminal(j.Progress) {
		every, begin, end = 200*time.Millisecond, "\r\x1b[K", ""
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		start, tick := time.Now(), time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprint(j.Progress, begin, j.line(time.Since(start)), end)
			case <-ctx.Done():
				fmt.Fprint(j.Progress, begin)
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (j *job) line(since time.Duration) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	sent := j.report.Accepted + j.report.Rejected
	line := Thousands(sent) + " rows"
	if j.source.size > 0 {
		line = fmt.Sprintf("%3d%%  %s", 100*j.source.read.Load()/j.source.size, line)
	}
	line += fmt.Sprintf("  %s/s", Thousands(int(float64(sent)/since.Seconds())))
	if j.report.Rejected > 0 {
		line += fmt.Sprintf("  %s rejected", Thousands(j.report.Rejected))
	}
	if j.trouble != "" {
		line += "  (trying again: " + j.trouble + ")"
	}
	return line
}

// Thousands writes 1234567 as 1,234,567.
func Thousands(n int) string {
	text := strconv.Itoa(n)
	digits := len(text)
	if n < 0 {
		digits--
	}
	for at := len(text) - 3; digits > 3; at, digits = at-3, digits-3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
