package notice

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/calendar"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/rule"
)

// Definition is one thing that a file defines, as the JSON that the API takes.
type Definition struct {
	ID   string
	Text json.RawMessage
}

// FileKinds are what a file can define, in the order in which they are to be
// brought to a project: rules name channels.
var FileKinds = []string{"channels", "rules", "silences"}

// mostInFile is the most of one kind.
const mostInFile = 1000

// ReadFile reads a file for Git, YAML: lists of channels, rules and silences. A
// list alone is of rules. Kinds of which it says nothing are not in the answer.
// What is wrong is told of all definitions at once.
func ReadFile(file []byte) (map[string][]Definition, error) {
	text, err := yaml.YAMLToJSON(file)
	if err != nil {
		return nil, fault.New(fault.Invalid, "invalid_yaml", "the file must be YAML: %s", yaml.FormatError(err, false, true))
	}
	if strings.HasPrefix(strings.TrimSpace(string(text)), "[") {
		text = slices.Concat([]byte(`{"rules":`), text, []byte("}"))
	}
	var lists map[string]json.RawMessage
	if err := json.Unmarshal(text, &lists); err != nil || len(lists) == 0 {
		return nil, fault.New(fault.Invalid, "invalid_file", "the file must have lists of %s", strings.Join(FileKinds, ", "))
	}
	read, wrong := map[string][]Definition{}, error(nil)
	for name, list := range lists {
		all, err := readList(name, list)
		read[name], wrong = all, errors.Join(wrong, err)
	}
	return read, wrong
}

func readList(name string, list json.RawMessage) (all []Definition, wrong error) {
	check, known := map[string]func([]byte) (id string, err error){"channels": checkChannel, "rules": checkRule, "silences": checkSilence}[name]
	if !known {
		return nil, fault.Field(name, "is none of %s", strings.Join(FileKinds, ", "))
	}
	var texts []json.RawMessage
	if err := json.Unmarshal(list, &texts); err != nil || len(texts) > mostInFile {
		return nil, fault.Field(name, "must be a list of at most %d", mostInFile)
	}
	all = []Definition{}
	for i, text := range texts {
		id, err := check(text)
		if first := slices.IndexFunc(all, func(d Definition) bool { return d.ID == id }); err == nil && first >= 0 {
			err = fmt.Errorf("id %q is that of %s[%d] too", id, name, first)
		}
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s[%d]: %w", name, i, err))
		}
		all = append(all, Definition{id, text})
	}
	return all, wrong
}

// anywhere is the calendar of a file: only the project knows its time zone.
var anywhere = calendar.Calendar{Zone: time.UTC, WeekStart: time.Monday}

func checkRule(text []byte) (string, error) {
	r, err := rule.Read(text, anywhere)
	if err != nil {
		return "", err
	}
	return r.ID, nil
}

// IDPattern is what an id looks like that people choose.
var IDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// ReadID reads one; missing stands for one that is not given, "" when it must be.
func ReadID(p *ask.Params, missing string) string {
	id := p.String("id", missing)
	if !IDPattern.MatchString(id) {
		p.Fail("id", "must be 1 to 40 of a-z, 0-9, _ and -, and begin with one of the first two, got %q", id)
	}
	return id
}

// checkChannel refuses secrets in clear: Git forgets nothing.
func checkChannel(text []byte) (string, error) {
	p, err := ask.ParamsFromJSON(text)
	if err != nil {
		return "", err
	}
	id, c := ReadID(p, ""), ReadChannel(p)
	for name, values := range c.Secrets {
		for _, v := range values {
			if v.Env == "" && v.File == "" {
				p.Fail("secrets."+name, `must be {"env": "CREDENTIAL_…"} or {"file": "…"}: a file for Git holds no secrets`)
			}
		}
	}
	return id, p.Done()
}

func checkSilence(text []byte) (string, error) {
	p, err := ask.ParamsFromJSON(text)
	if err != nil {
		return "", err
	}
	id := ReadID(p, "")
	if ReadSilence(p, anywhere, 0); !p.Has("from") {
		p.Fail("from", "is required in a file: a date or a time at which the silence begins")
	}
	return id, p.Done()
}
