// Command storing is the half of the pipeline that stores events and answers queries.
package main

import (
	"context"
	"os"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/scripts/faults/halves"
)

func main() {
	var cfg halves.Storing
	os.Exit(proc.Main("storing", &cfg, func(ctx context.Context, p *proc.Process) error {
		return halves.Store(ctx, &cfg, p)
	}))
}
