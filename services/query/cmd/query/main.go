// Command query answers questions about the events in MongoDB.
package main

import (
	"context"
	"os"
	_ "time/tzdata" // time zones, where the machine has none

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/services/query"
)

func main() {
	var cfg query.Config
	os.Exit(proc.Main("query", &cfg, func(ctx context.Context, p *proc.Process) error {
		return query.Run(ctx, &cfg, p)
	}))
}
