package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/importer"
	"github.com/maidian/maidian/services/allinone/internal/send"
	"github.com/maidian/maidian/services/allinone/internal/traffic"
)

// simulation sends made-up visitors' events as they happen.
type simulation struct {
	live   *traffic.Live
	sender *send.Sender

	mu       sync.Mutex
	accepted int
	rejected int
	trouble  string
}

func simulate(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	collector := flags.String("collector", "http://"+allinone.DefaultListen, "`address` of the collector")
	key := flags.String("key", allinone.DemoWriteKey, "write key of the project")
	rate := flags.Float64("rate", 20, "events a second, about")
	seed := flags.Uint64("seed", 0, "the same seed has the same visitors (default: others each time)")
	during := flags.Duration("for", 0, "how long (default: until Ctrl-C)")
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	if *rate <= 0 || *rate > 20_000 {
		return &usageError{fmt.Sprintf("-rate must be more than 0 and at most 20000, got %g", *rate)}
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	if *during > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *during)
		defer cancel()
	}
	s := &simulation{live: traffic.NewLive(traffic.New(*seed), *rate, time.Now())}
	s.sender = send.New(*collector, *key, mostInFlight, 30*time.Second, s.pausing)
	fmt.Printf("sending about %g events a second to %s, seed %d; Ctrl-C stops\n", *rate, *collector, *seed)
	return s.run(ctx)
}

const mostInFlight = 8

// run sends five times a second what has happened since.
func (s *simulation) run(ctx context.Context) error {
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, mostInFlight)
	var senders sync.WaitGroup
	defer senders.Wait()
	tick, report := time.NewTicker(200*time.Millisecond), time.NewTicker(5*time.Second)
	defer tick.Stop()
	defer report.Stop()
	for {
		select {
		case now := <-tick.C:
			for _, batch := range batches(s.live.Until(now)) {
				slots <- struct{}{}
				senders.Go(func() {
					defer func() { <-slots }()
					if err := s.send(context.WithoutCancel(ctx), batch); err != nil {
						cancel(err)
					}
				})
			}
		case <-report.C:
			s.report()
		case <-sending.Done():
			senders.Wait()
			s.report()
			if ctx.Err() != nil {
				return nil // a person, or -for, has ended it
			}
			return context.Cause(sending)
		}
	}
}

func batches(events []traffic.Event) (out [][][]byte) {
	const most = 500
	for at := 0; at < len(events); at += most {
		var b [][]byte
		for i := range events[at:min(at+most, len(events))] {
			b = append(b, events[at+i].JSON())
		}
		out = append(out, b)
	}
	return out
}

func (s *simulation) send(ctx context.Context, batch [][]byte) error {
	a, err := s.sender.Send(ctx, batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted, s.rejected = s.accepted+a.Accepted, s.rejected+a.Rejected
	if err == nil {
		s.trouble = ""
	}
	return err
}

func (s *simulation) pausing(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = why
}

func (s *simulation) report() {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%s accepted", importer.Thousands(s.accepted))
	if s.rejected > 0 {
		line += fmt.Sprintf(", %s rejected", importer.Thousands(s.rejected))
	}
	if s.trouble != "" {
		line += "; trying again: " + s.trouble
	}
	fmt.Fprintln(os.Stderr, line)
}
