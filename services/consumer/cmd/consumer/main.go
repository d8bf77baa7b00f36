// Command consumer brings events from the queue to the store.
package main

import (
	"context"
	"os"
	_ "time/tzdata" // time zones, where the machine has none

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/services/consumer"
	"github.com/maidian/maidian/services/consumer/internal/forward/bigquery"
	"github.com/maidian/maidian/services/consumer/internal/forward/snowflake"
)

func main() {
	var cfg consumer.Config
	os.Exit(proc.Main("consumer", &cfg, func(ctx context.Context, p *proc.Process) error {
		return consumer.Run(ctx, &cfg, p, bigquery.Warehouse(), snowflake.Warehouse())
	}))
}
