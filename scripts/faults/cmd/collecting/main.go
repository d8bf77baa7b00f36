// Command collecting is the half of the pipeline that takes events in.
package main

import (
	"context"
	"os"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/scripts/faults/halves"
)

func main() {
	var cfg halves.Collecting
	os.Exit(proc.Main("collecting", &cfg, func(ctx context.Context, p *proc.Process) error {
		return halves.Collect(ctx, &cfg, p)
	}))
}
