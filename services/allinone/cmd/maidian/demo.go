package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/ask"
	"github.com/maidian/maidian/services/allinone/internal/importer"
	"github.com/maidian/maidian/services/allinone/internal/traffic"
)

func demo(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	s := newServeFlags(flags)
	file := flags.String("file", shopFile(), "the shop's `events`; none: made-up ones")
	once := flags.Bool("once", false, "end after printing the tables")
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	return s.serve(ctx, func(ctx context.Context, system *allinone.System) error {
		if err := showShop(ctx, os.Stdout, system, *file); err != nil {
			return err
		}
		if *once {
			return errEnough
		}
		fmt.Println("The system goes on running; Ctrl-C stops it.")
		return nil
	})
}

// shopFile is a real shop's clickstream, where it lies beside the repository.
func shopFile() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
	path := filepath.Join(filepath.Dir(dir), "shared", "cases", "data", "ecom.csv.gz")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// shop is what the demo knows about the events it shows.
type shop struct {
	file     string
	columns  importer.Columns
	steps    []string
	from, to time.Time
	events   int
}

// The real shop's file names neither the product that was viewed nor what a
// purchase was worth; without these two no such event could be stored.
func realShop(file string) *shop {
	return &shop{
		file:    file,
		columns: importer.Columns{Zone: "UTC", Default: []string{"product_view:product_id=unknown", "purchase:amount=0"}},
		steps:   []string{"product_view", "add_to_cart", "cart", "shipping_details", "payment_details", "purchase"},
	}
}

func showShop(ctx context.Context, w io.Writer, system *allinone.System, file string) error {
	shop := realShop(file)
	if file == "" {
		made, remove, err := madeUpShop()
		if err != nil {
			return err
		}
		defer remove()
		shop = made
	}
	if err := shop.load(ctx, w, system); err != nil {
		return err
	}
	c := ask.Client{URL: allinone.URL(system.Query), Key: allinone.DemoReadKey}
	if err := shop.visible(ctx, c); err != nil {
		return err
	}
	return shop.show(ctx, w, c)
}

// madeUpShop writes thirty days of made-up visitors to a file: the same ones
// each day, so that a demo started twice stores nothing twice.
func madeUpShop() (*shop, func(), error) {
	f, err := os.CreateTemp("", "maidian-demo-*.ndjson")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { _ = os.Remove(f.Name()) }
	var text strings.Builder
	for _, e := range traffic.New(1).Backlog(time.Now(), 30, 30_000) {
		text.Write(e.JSON())
		text.WriteByte('\n')
	}
	if _, err = f.WriteString(text.String()); err == nil {
		err = f.Close()
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	return &shop{file: f.Name(), columns: importer.Columns{Zone: "UTC"}, steps: []string{"page_view", "product_view", "cart_add", "purchase"}}, remove, nil
}

func (s *shop) load(ctx context.Context, w io.Writer, system *allinone.System) error {
	collector, query := allinone.URL(system.Collector), allinone.URL(system.Query)
	report, err := importer.Import(ctx, importer.Options{
		File: s.file, Columns: s.columns, Collector: collector, Key: allinone.DemoWriteKey,
		Accounts: &importer.QueryAccounts{URL: query, Key: allinone.DemoReadKey},
		Batch:    500, InFlight: 4, Patience: time.Minute, Progress: os.Stderr,
	})
	if err != nil {
		return fmt.Errorf("import %s: %w", s.file, err)
	}
	s.from, s.to, s.events = report.From, report.To, report.Accepted
	report.Write(w, filepath.Base(s.file))
	_, err = fmt.Fprintln(w)
	return err
}

// visible waits until answers hold all of the shop's events: they follow the
// store within a second.
func (s *shop) visible(ctx context.Context, c ask.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var answer struct {
			Total int `json:"total"`
		}
		if err := c.Post(ctx, "stats/events", s.asking(map[string]any{}), &answer); err != nil {
			return err
		}
		if answer.Total >= s.events {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d events can be seen", answer.Total, s.events)
		}
	}
}
