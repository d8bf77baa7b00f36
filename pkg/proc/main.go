package proc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Config is a service's settings: a struct whose fields carry the tags
// envconfig (the variable's whole name), default and desc, and that embeds Options.
type Config interface {
	// Validate says everything that is wrong, one line for each variable.
	Validate() error
	// Process is the embedded Options.
	Process() Options
}

// Process is o itself; embedding Options gives a Config this method.
func (o Options) Process() Options { return o }

// Main runs a service until SIGINT or SIGTERM and returns its exit code:
// 0 after an orderly stop, 1 after a failure, 2 when it was called wrongly.
func Main(name string, config Config, run func(ctx context.Context, p *Process) error) int {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.Usage = func() { Usage(flags.Output(), name, config) }
	version := flags.Bool("version", false, "print the version and exit")
	probe := flags.Bool("probe", false, "ask the service that runs here whether it is ready, and exit")
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil || flags.NArg() > 0:
		return 2
	case *version:
		fmt.Println(name, Version())
		return 0
	}
	if err := Load(config); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(os.Stderr, "%s: %s\n", name, strings.TrimSuffix(line, "\n"))
		}
		return 2
	}
	if *probe {
		return answer(config.Process().probe())
	}
	return start(name, config, run)
}

// answer is a probe's: for its exit code, and for whoever reads why.
func answer(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func start(name string, config Config, run func(ctx context.Context, p *Process) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := New(name, Logger(config.Process().LogLevel), Registry(name), config.Process())
	defer p.Log.Sync()
	if unknown := Unknown(config, os.Environ()); len(unknown) > 0 {
		p.Log.Warn("variables that this service does not know", zap.Strings("names", unknown))
	}
	p.Log.Info("starting", zap.String("version", Version()))
	if err := p.Run(ctx, observed(run)); err != nil {
		p.Log.Error("stopped", zap.Error(err))
		return 1
	}
	p.Log.Info("stopped")
	return 0
}

// observed answers about the process before run begins, and lets nobody think
// it ready until run has set up all there is.
func observed(run func(ctx context.Context, p *Process) error) func(ctx context.Context, p *Process) error {
	return func(ctx context.Context, p *Process) error {
		var up atomic.Bool
		p.OnReady("start", func() error {
			if !up.Load() {
				return errors.New("not done yet")
			}
			return nil
		})
		if err := p.serveOps(); err != nil {
			return err
		}
		err := run(ctx, p)
		up.Store(true)
		return err
	}
}

// Logger writes JSON lines to standard error.
func Logger(level string) *zap.Logger {
	at, err := zap.ParseAtomicLevel(level)
	if err != nil {
		at = zap.NewAtomicLevel()
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.TimeKey, encoder.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(os.Stderr), at))
}

// Registry makes a metrics registry with the program's own figures in it.
func Registry(name string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "maidian_build_info",
		Help:        "1, labelled with what runs here.",
		ConstLabels: prometheus.Labels{"service": name, "version": Version(), "go": runtime.Version()},
	})
	info.Set(1)
	// The live heap is what a leak shows in: bytes that the last collection found in use.
	live := collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")})
	r.MustRegister(info, collectors.NewGoCollector(live), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// version is set by the linker: -X github.com/maidian/maidian/pkg/proc.version=…
var version string

// Version is what the build was told, else the commit or the module version
// this program was built from.
func Version() string {
	if version != "" {
		return version
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return build.Main.Version
}
