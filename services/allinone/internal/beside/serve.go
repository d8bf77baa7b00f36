package beside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/query"
)

// Addresses are where a server is; URLs.
type Addresses struct {
	Collector string // empty when there is none
	Query     string
	Ops       string // of the query service: metrics and profiles are below it
}

// What a server runs on the store of a directory.
const (
	QueryOnly = "query" // the query service, whose clock stands at Now
	Whole     = "whole" // the all-in-one, by the real clock
)

// Serve runs a server, writes its addresses to out once it answers, and stops
// it when in ends.
func Serve(ctx context.Context, what, dir string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	config, err := settings(dir)
	if err != nil {
		return err
	}
	log := proc.Logger("error")
	up := func(a Addresses) error { return json.NewEncoder(out).Encode(a) }
	if what == Whole {
		return serveWhole(ctx, config, log, up)
	}
	return serveQuery(ctx, config, log, up)
}

func settings(dir string) (*allinone.Config, error) {
	config, err := allinone.Load()
	if err != nil {
		return nil, err
	}
	config.Dir, config.Ops, config.UseRabbit, config.UseMongo = dir, "127.0.0.1:0", false, false
	config.Collector.Listen, config.Query.Listen = "127.0.0.1:0", "127.0.0.1:0"
	config.Query.Deadline = 10 * time.Minute // the first question reads columns of millions of raw events
	return config, nil
}

func serveWhole(ctx context.Context, config *allinone.Config, log *zap.Logger, up func(Addresses) error) error {
	system, err := allinone.Start(ctx, config, log)
	if err != nil {
		return err
	}
	err = up(Addresses{allinone.URL(system.Collector), allinone.URL(system.Query), allinone.URL(system.Ops) + "/query"})
	if err == nil {
		select {
		case <-ctx.Done():
		case <-system.Failed():
			err = system.Err()
		}
	}
	return errors.Join(err, system.Stop(ctx))
}

func serveQuery(ctx context.Context, config *allinone.Config, log *zap.Logger, up func(Addresses) error) error {
	from, err := sqlite.Open(ctx, filepath.Join(config.Dir, "store"))
	if err != nil {
		return err
	}
	p := proc.New("query", log, proc.Registry("query"), config.Options)
	err = p.Run(ctx, func(ctx context.Context, p *proc.Process) error {
		ops, err := p.Serve("operations server", config.Ops, p.Ops())
		if err != nil {
			return err
		}
		address, err := query.Serve(ctx, &config.Query, p, query.Deps{Store: from, Now: func() time.Time { return Now }})
		if err != nil {
			return err
		}
		return up(Addresses{Query: allinone.URL(address), Ops: allinone.URL(ops)})
	})
	return errors.Join(err, from.Close())
}

// Server is a server in a process of its own.
type Server struct {
	Client
	Addresses
	process *process
	began   time.Time
}

// StartServer starts this very program as a server on the store in dir.
func StartServer(ctx context.Context, what, dir string) (*Server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &Server{began: time.Now()}
	if s.process, err = startProcess(ctx, self, "serve", what, dir); err != nil {
		return nil, err
	}
	addresses, err := s.process.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(addresses, &s.Addresses)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the server on %s: %w", dir, err), s.Close())
	}
	s.Client = NewClient(s.Query)
	return s, nil
}

// Close stops the server in order.
func (s *Server) Close() error { return s.process.close() }
