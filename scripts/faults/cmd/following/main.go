// Command following is a consumer that only follows what is stored: it tells people and forwards.
package main

import (
	"context"
	"os"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/scripts/faults/halves"
)

func main() {
	var cfg halves.Following
	os.Exit(proc.Main("following", &cfg, func(ctx context.Context, p *proc.Process) error {
		return halves.Follow(ctx, &cfg, p)
	}))
}
