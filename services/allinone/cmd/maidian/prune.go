package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/ask"
)

// pruneCommand asks the query service, which does the work, and waits for its end.
func pruneCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("prune", flag.ContinueOnError)
	c := ask.Client{}
	flags.StringVar(&c.URL, "query", "http://"+allinone.DefaultQueryListen, "`address` of the query service")
	flags.StringVar(&c.Key, "key", allinone.DemoAdminKey, "admin key")
	project := flags.String("project", "", "project; empty: all")
	age := flags.String("older-than", "", "`age` of the days that go, such as 400d")
	dry := flags.Bool("dry-run", false, "only count what would go")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Usage: maidian prune -older-than 400d [flags]\n\n"+
			"Deletes what happened on days (UTC) that are older: raw events, what was derived from them, dead letters.\n"+
			"A project whose retention_days are set is pruned every day by itself.\n\n")
		flags.PrintDefaults()
	}
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	if *age == "" {
		return &usageError{"prune needs -older-than"}
	}
	projects := []string{*project}
	if *project == "" {
		var err error
		if projects, err = projectIDs(ctx, c); err != nil {
			return err
		}
	}
	for _, id := range projects {
		if err := pruneProject(ctx, c, id, map[string]any{"older_than": *age, "dry_run": *dry}); err != nil {
			return err
		}
	}
	return nil
}

const adminPath = "/api/v1/admin/projects"

func projectIDs(ctx context.Context, c ask.Client) (ids []string, err error) {
	var all struct {
		Projects []struct{ ID string }
	}
	err = c.Do(ctx, http.MethodGet, adminPath, nil, &all)
	for _, p := range all.Projects {
		ids = append(ids, p.ID)
	}
	return ids, err
}

// pruneProject has one project pruned, and prints what went.
func pruneProject(ctx context.Context, c ask.Client, project string, what map[string]any) error {
	path := adminPath + "/" + url.PathEscape(project)
	var job struct {
		Job, State string
		Counts     map[string]int
		Error      *string
	}
	if err := c.Do(ctx, http.MethodPost, path+"/prune", what, &job); err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for job.State != "done" && job.State != "failed" {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the service goes on with job %s: %w", job.Job, ctx.Err())
		case <-tick.C:
		}
		if err := c.Do(ctx, http.MethodGet, path+"/jobs/"+job.Job, nil, &job); err != nil {
			return err
		}
	}
	if job.State == "failed" {
		return fmt.Errorf("project %s: job %s failed: %s", project, job.Job, *job.Error)
	}
	verdict := "are deleted"
	if what["dry_run"] == true {
		verdict = "would be deleted"
	}
	fmt.Printf("%s: %d events in %d batches, %d dead letters, %d pieces of sealed days %s\n",
		project, job.Counts["events"], job.Counts["batches"], job.Counts["dead_letters"], job.Counts["segments"], verdict)
	return nil
}
