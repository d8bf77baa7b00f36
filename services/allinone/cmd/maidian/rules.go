package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"

	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/services/allinone"
)

// ruleFile brings a file of rules, such as one in Git, to the query service.
type ruleFile struct {
	admin
	prune bool
}

const rulesUsage = `Usage: maidian rules [flags] check FILE | apply FILE

A file is YAML: lists of channels, rules and silences, each as the API takes it; a list alone is of rules. Secrets stand in
the environment or in files of the consumer, never in this one. check says what is wrong with it; apply makes the
project's so. What the file does not have stays, unless -prune deletes it; of kinds that the file does not
name nothing is deleted. Applied again, rules whose definition is the same go on as they are.

`

func rulesCommand(ctx context.Context, args []string) error {
	var f ruleFile
	flags := f.flags("rules", rulesUsage, allinone.DemoProject, "project")
	flags.BoolVar(&f.prune, "prune", false, "with apply: delete what the file does not have")
	if err := parse(flags, args, 2); err != nil {
		return err
	}
	do, known := map[string]func(context.Context, map[string][]notice.Definition) error{"check": f.check, "apply": f.apply}[flags.Arg(0)]
	if !known || flags.NArg() != 2 {
		return &usageError{"rules needs the word check or apply, and a file"}
	}
	text, err := os.ReadFile(flags.Arg(1))
	if err != nil {
		return err
	}
	all, err := notice.ReadFile(text)
	if err != nil {
		return fmt.Errorf("%s: %w", flags.Arg(1), err)
	}
	return do(ctx, all)
}

func (f *ruleFile) check(_ context.Context, all map[string][]notice.Definition) error {
	for _, kind := range notice.FileKinds {
		if list, ok := all[kind]; ok {
			fmt.Printf("%d %s, nothing wrong\n", len(list), kind)
		}
	}
	return nil
}

func (f *ruleFile) apply(ctx context.Context, all map[string][]notice.Definition) error {
	left := map[string][]string{} // that the file does not have
	for _, kind := range notice.FileKinds {
		list, ok := all[kind]
		if !ok {
			continue
		}
		ids, err := f.there(ctx, kind)
		if err != nil {
			return err
		}
		for _, d := range list {
			var kept any
			// The text stays as it is: a rule whose text changes begins anew.
			if err := f.client.Do(ctx, http.MethodPut, f.path("/"+kind+"/"+d.ID), d.Text, &kept); err != nil {
				return err
			}
			ids = slices.DeleteFunc(ids, func(id string) bool { return id == d.ID })
		}
		left[kind] = ids
	}
	for _, kind := range slices.Backward(notice.FileKinds) { // rules before the channels that they name
		if err := f.rest(ctx, kind, left[kind]); err != nil {
			return err
		}
	}
	for _, kind := range notice.FileKinds {
		if ids, ok := left[kind]; ok {
			fmt.Printf("%d %s applied, %d others%s\n", len(all[kind]), kind, len(ids), map[bool]string{true: " deleted"}[f.prune])
		}
	}
	return nil
}

// rest deletes what the file does not have, if that is wanted.
func (f *ruleFile) rest(ctx context.Context, kind string, ids []string) error {
	if !f.prune {
		return nil
	}
	for _, id := range ids {
		var gone any
		if err := f.client.Do(ctx, http.MethodDelete, f.path("/"+kind+"/"+id), nil, &gone); err != nil {
			return err
		}
	}
	return nil
}

// there are the ids of the project's.
func (f *ruleFile) there(ctx context.Context, kind string) (ids []string, err error) {
	var listed map[string][]struct {
		ID         string
		Definition struct{ ID string }
	}
	if err := f.client.Do(ctx, http.MethodGet, f.path("/"+kind), nil, &listed); err != nil {
		return nil, err
	}
	for _, one := range listed[kind] {
		ids = append(ids, one.ID+one.Definition.ID) // a rule's is in its definition
	}
	return ids, nil
}
