package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime/pprof"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/services/allinone"
)

// serveFlags are what serve and demo let people say on the command line; all
// else comes from the environment.
type serveFlags struct {
	cfg     *allinone.Config
	json    bool
	level   string
	profile string
	envErrs error
}

func newServeFlags(flags *flag.FlagSet) *serveFlags {
	cfg, err := allinone.Load()
	s := &serveFlags{cfg: cfg, envErrs: err}
	flags.StringVar(&cfg.Dir, "data", cfg.Dir, "`directory` of the embedded servers' data")
	flags.BoolVar(&cfg.Memory, "memory", false, "keep nothing on disk")
	flags.StringVar(&cfg.Collector.Listen, "listen", cfg.Collector.Listen, "`address` of the collector")
	flags.StringVar(&cfg.Query.Listen, "query-listen", cfg.Query.Listen, "`address` of the query service")
	flags.StringVar(&cfg.Ops, "ops", cfg.Ops, "`address` of /readyz, /livez and /{collector,consumer,query}/metrics; empty for none")
	flags.BoolVar(&cfg.RabbitNode, "rabbit", false, "run a private RabbitMQ node in the place of the embedded broker")
	flags.BoolVar(&s.json, "json", false, "write logs as JSON lines, from info up")
	flags.StringVar(&s.level, "log", os.Getenv("LOG_LEVEL"), "least `level` of what is logged: debug, info, warn or error (default warn, with -json info)")
	flags.StringVar(&s.profile, "cpuprofile", "", "write a CPU profile to this `file`, for go tool pprof")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "Usage: maidian %s [flags]\n\n", flags.Name())
		flags.PrintDefaults()
		fmt.Fprintln(flags.Output(), "\nRABBITMQ_URL (or RABBITMQ_HOST) and MONGODB_URI put real servers in the place of the embedded ones.")
		fmt.Fprintln(flags.Output(), "Every variable of the three services works here too:")
		proc.Usage(flags.Output(), "maidian serve", cfg)
	}
	return s
}

// check looks at the environment, then at what the flags made of it.
func (s *serveFlags) check() error {
	if s.envErrs != nil {
		return s.envErrs
	}
	return s.cfg.Validate()
}

func (s *serveFlags) logger() (*zap.Logger, error) {
	level := s.level
	if level == "" && !s.json {
		level = "warn"
	} else if level == "" {
		level = "info"
	}
	at, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("-log must be debug, info, warn or error, got %q", level)}
	}
	if s.json {
		return proc.Logger(level), nil
	}
	encoder := zap.NewDevelopmentEncoderConfig()
	encoder.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05")
	encoder.CallerKey, encoder.StacktraceKey = "", ""
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.Lock(os.Stderr), at)), nil
}

func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	s := newServeFlags(flags)
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	return s.serve(ctx, func(context.Context, *allinone.System) error { return nil })
}

// serve runs the system until Ctrl-C, with work done once it is up.
func (s *serveFlags) serve(ctx context.Context, work func(context.Context, *allinone.System) error) error {
	if err := s.check(); err != nil {
		return err
	}
	log, err := s.logger()
	if err != nil {
		return err
	}
	stopProfile, err := s.startProfile()
	if err != nil {
		return err
	}
	defer stopProfile()
	system, err := allinone.Start(ctx, s.cfg, log)
	if err != nil {
		return err
	}
	announce(os.Stdout, s.cfg, system)
	err = work(ctx, system)
	if err == nil {
		select {
		case <-ctx.Done():
			fmt.Fprintln(os.Stderr, "\nstopping: what was accepted is being stored")
		case <-system.Failed():
			err = system.Err()
		}
	} else if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(err, system.Stop(ctx))
}

func (s *serveFlags) startProfile() (stop func(), err error) {
	if s.profile == "" {
		return func() {}, nil
	}
	f, err := os.Create(s.profile)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

// errEnough ends a system whose work is done, with no complaint.
var errEnough = errors.New("enough")

func announce(w io.Writer, c *allinone.Config, s *allinone.System) {
	collector, query := allinone.URL(s.Collector), allinone.URL(s.Query)
	fmt.Fprintf(w, "maidian %s is up; Ctrl-C stops it\n\n", proc.Version())
	fmt.Fprintf(w, "  collector   %s\n  query       %s\n  data        %s\n\n", collector, query, c.Places())
	if !s.Demo {
		fmt.Fprintf(w, "make a project:\n  curl %s/api/v1/admin/projects -H \"X-API-Key: $QUERY_ADMIN_KEY\" -H 'Content-Type: application/json' -d '{\"name\":\"My shop\"}'\n\n", query)
		return
	}
	fmt.Fprintf(w, "project demo: write key %s, read key %s, admin key %s\n\n", allinone.DemoWriteKey, allinone.DemoReadKey, adminKey(c))
	fmt.Fprintf(w, "send an event:\n  curl %s/api/v1/analytics/track -H 'X-API-Key: %s' -H 'Content-Type: application/json' -d '{\"event_type\":\"page_view\",\"user_id\":\"ann\",\"page_url\":\"https://shop.example/\"}'\n\n", collector, allinone.DemoWriteKey)
	fmt.Fprintf(w, "read it back:\n  curl '%s/api/v1/analytics/events?limit=1' -H 'X-API-Key: %s'\n\n", query, allinone.DemoReadKey)
	fmt.Fprintf(w, "see the browser SDK at work:\n  %s\n\n", demoPage(collector, query))
}

// demoPage is the address of the demo, which looks for the query service on
// port 8081 unless it is told where it is.
func demoPage(collector, query string) string {
	page := collector + "/demo"
	if strings.HasSuffix(query, ":8081") {
		return page
	}
	return page + "?query=" + url.QueryEscape(query)
}

func adminKey(c *allinone.Config) string {
	if c.Query.AdminKey == allinone.DemoAdminKey {
		return allinone.DemoAdminKey
	}
	return "as in QUERY_ADMIN_KEY"
}
