package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/maidian/maidian/services/allinone"
	"github.com/maidian/maidian/services/allinone/internal/ask"
)

// admin asks the query service about a project, which any holder of the admin key may.
type admin struct {
	client  ask.Client
	project string
}

// flags are those that every command has which asks it.
func (a *admin) flags(name, usage, project, meaning string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.StringVar(&a.client.URL, "query", "http://"+allinone.DefaultQueryListen, "`address` of the query service")
	flags.StringVar(&a.client.Key, "key", cmp.Or(os.Getenv("QUERY_ADMIN_KEY"), allinone.DemoAdminKey), "admin key")
	flags.StringVar(&a.project, "project", project, meaning)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	return flags
}

// path is a route about the project.
func (a *admin) path(route string) string {
	return "/api/v1/admin/projects/" + url.PathEscape(a.project) + route
}

// pages asks for a list page by page; show reads one and returns where the next begins.
func (a *admin) pages(ctx context.Context, route string, query url.Values, show func(page json.RawMessage) (next *string, err error)) error {
	for {
		var page json.RawMessage
		if err := a.client.Do(ctx, http.MethodGet, a.path(route)+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		next, err := show(page)
		if err != nil || next == nil {
			return err
		}
		query.Set("cursor", *next)
	}
}

// print shows an answer as it is.
func (a *admin) print(ctx context.Context, route string) error {
	var answer any
	if err := a.client.Do(ctx, http.MethodGet, a.path(route), nil, &answer); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(answer)
}
