// Command collector takes events over HTTP and puts them on the queue.
package main

import (
	"context"
	"os"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/services/collector"
)

func main() {
	var cfg collector.Config
	os.Exit(proc.Main("collector", &cfg, func(ctx context.Context, p *proc.Process) error {
		return collector.Run(ctx, &cfg, p)
	}))
}
