package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/services/allinone"
)

// ruleFile brings a file of rules, such as one in Git, to the query service.
type ruleFile struct {
	admin
	prune bool
}

const rulesUsage = `Usage: maidian rules [flags] check FILE | apply FILE

A file is YAML: a list of rules, each as the API takes it. check says what is wrong with it; apply makes the project's
rules so. Rules that the file does not have stay, unless -prune deletes them. Applied again, rules whose definition
is the same go on as they are.

`

func rulesCommand(ctx context.Context, args []string) error {
	var f ruleFile
	flags := f.flags("rules", rulesUsage, allinone.DemoProject, "project")
	flags.BoolVar(&f.prune, "prune", false, "with apply: delete the rules that the file does not have")
	if err := parse(flags, args, 2); err != nil {
		return err
	}
	do, known := map[string]func(context.Context, []definition) error{"check": f.check, "apply": f.apply}[flags.Arg(0)]
	if !known || flags.NArg() != 2 {
		return &usageError{"rules needs the word check or apply, and a file"}
	}
	definitions, err := readRules(flags.Arg(1))
	if err != nil {
		return err
	}
	return do(ctx, definitions)
}

// definition is a rule of the file.
type definition struct {
	id   string
	text []byte
}

func readRules(name string) (all []definition, wrong error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	listed, err := rule.DefinitionsFromYAML(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	places := map[string]int{}
	for i, text := range listed {
		r, err := rule.Read(text, calendar.Calendar{Zone: time.UTC, WeekStart: time.Monday})
		if err == nil {
			if first, twice := places[r.ID]; twice {
				err = fmt.Errorf("id %q is that of rules[%d] too", r.ID, first)
			}
			places[r.ID] = i
			all = append(all, definition{r.ID, text})
		}
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s: rules[%d]: %w", name, i, err))
		}
	}
	return all, wrong
}

func (f *ruleFile) check(_ context.Context, all []definition) error {
	fmt.Printf("%d rules, nothing wrong\n", len(all))
	return nil
}

func (f *ruleFile) apply(ctx context.Context, all []definition) error {
	left, err := f.there(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := f.put(ctx, d); err != nil {
			return err
		}
		delete(left, d.id)
	}
	deleted := 0
	for id := range left {
		if !f.prune {
			break
		}
		var gone any
		if err := f.client.Do(ctx, http.MethodDelete, f.path("/rules/"+id), nil, &gone); err != nil {
			return err
		}
		deleted++
	}
	fmt.Printf("%d rules applied, %d deleted, %d others\n", len(all), deleted, len(left)-deleted)
	return nil
}

// there are the ids of the project's rules.
func (f *ruleFile) there(ctx context.Context) (map[string]bool, error) {
	var listed struct {
		Rules []struct{ Definition struct{ ID string } }
	}
	if err := f.client.Do(ctx, http.MethodGet, f.path("/rules"), nil, &listed); err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, r := range listed.Rules {
		ids[r.Definition.ID] = true
	}
	return ids, nil
}

// put leaves the definition's text as it is: a rule whose text changes begins anew.
func (f *ruleFile) put(ctx context.Context, d definition) error {
	var kept any
	return f.client.Do(ctx, http.MethodPut, f.path("/rules/"+d.id), json.RawMessage(d.text), &kept)
}
