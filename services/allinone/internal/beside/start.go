package beside

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"time"
)

// FirstAnswer asks the 90-day funnel as soon and as often as the server is
// there, until it answers. alone is the time of the request that was answered.
func (s *Server) FirstAnswer(ctx context.Context) (answer []byte, alone time.Duration, err error) {
	return s.answer(ctx, Questions()[0])
}

// answer asks as soon and as often as the server is there, until it answers.
func (s *Server) answer(ctx context.Context, q Question) (answer []byte, alone time.Duration, err error) {
	for pause := time.NewTicker(2 * time.Millisecond); ; <-pause.C {
		answer, alone, err = s.Ask(ctx, q.Route, q.Body(0))
		if loading := (*refusal)(nil); !errors.As(err, &loading) || loading.status != http.StatusServiceUnavailable {
			return answer, alone, err
		}
	}
}

// starts is how long the first answer takes from the start of a process and
// from when it takes questions, with nothing of the data in memory.
func (b *Bench) starts(ctx context.Context) ([]Figure, error) {
	whole := Figure{Name: "first 90-day funnel after a start, the process's own start included", Unit: "ms", Beside: "clickhouse"}
	first := Figure{Name: "first 90-day funnel after a start, from when it takes questions", Unit: "ms", Beside: "clickhouse", Goal: 1}
	for range min(b.Repetitions, 3) {
		lines, total, up, err := b.startOurs(ctx)
		if err != nil {
			return nil, err
		}
		theirLines, theirTotal, theirUp, err := b.startClickHouse(ctx)
		if err != nil {
			return nil, err
		}
		whole.Ours, whole.Theirs = append(whole.Ours, milliseconds(total)), append(whole.Theirs, milliseconds(theirTotal))
		first.Ours, first.Theirs = append(first.Ours, milliseconds(up)), append(first.Theirs, milliseconds(theirUp))
		first.Broken = errors.Join(first.Broken, compare(lines, theirLines, "clickhouse"))
	}
	return []Figure{whole, first}, nil
}

func (b *Bench) startOurs(ctx context.Context) (lines []string, total, up time.Duration, err error) {
	if err := forget(ctx, filepath.Join(b.Dir, "store")); err != nil {
		return nil, 0, 0, err
	}
	s, err := StartServer(ctx, QueryOnly, b.Dir)
	if err != nil {
		return nil, 0, 0, err
	}
	began := time.Now()
	answer, _, err := s.FirstAnswer(ctx)
	up, total = time.Since(began), time.Since(s.began)
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, 0, 0, err
	}
	lines, err = funnelLines(answer)
	return lines, total, up, err
}

func (b *Bench) startClickHouse(ctx context.Context) (lines []string, total, up time.Duration, err error) {
	if err := forget(ctx, filepath.Join(b.Dir, "clickhouse")); err != nil {
		return nil, 0, 0, err
	}
	began := time.Now()
	d, err := b.clickHouse(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	lines, up, err = d.Ask(Questions()[0].SQL(tables[1], 0) + fmt.Sprintf(" SETTINGS max_threads = %d", runtime.NumCPU()))
	total = time.Since(began)
	return lines, total, up, errors.Join(err, d.Close())
}
