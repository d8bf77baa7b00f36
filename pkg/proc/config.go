package proc

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kelseyhightower/envconfig"
)

// variable is one leaf of a configuration struct: an environment variable.
type variable struct {
	field reflect.StructField
	value reflect.Value
}

func (v variable) name() string { return v.field.Tag.Get("envconfig") }

// variables lists the leaves of the struct that config points to, nested and
// embedded structs included. A leaf is a field with an envconfig tag.
func variables(config any) []variable {
	var leaves []variable
	var walk func(reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Tag.Get("envconfig") != "" {
				leaves = append(leaves, variable{f, v.Field(i)})
			} else if f.Type.Kind() == reflect.Struct && f.IsExported() {
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(config).Elem())
	return leaves
}

// Load fills config from the environment and checks it, see LoadFrom.
func Load(config Config) error { return LoadFrom(config, os.LookupEnv) }

// LoadFrom fills config from the variables that lookup finds, and checks it.
// The error names every wrong variable, one a line.
//
// A variable that is set to nothing counts as not set, because a manifest with
// an empty value means the default. Each may be given as a file instead: the
// content of the one that NAME_FILE names is the value of NAME, so that a
// secret stands neither in a manifest nor among a process's variables.
func LoadFrom(config Config, lookup func(name string) (value string, set bool)) error {
	all := variables(config)
	var err error
	for _, v := range all {
		text, wrong := v.text(lookup, all)
		if wrong == nil {
			wrong = v.set(text)
		}
		if wrong != nil {
			err = errors.Join(err, wrong, v.set("")) // the default, so that Validate does not complain once more
		}
	}
	return errors.Join(err, config.Validate())
}

// text is what lookup has for the variable, by value or by file.
func (v variable) text(lookup func(string) (string, bool), all []variable) (string, error) {
	text, _ := lookup(v.name())
	if named(all, v.file()) {
		return text, nil // a variable of its own
	}
	path, _ := lookup(v.file())
	if path == "" {
		return text, nil
	}
	if text != "" {
		return "", fmt.Errorf("%s and %s: set one of the two", v.name(), v.file())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", v.file(), err)
	}
	return strings.TrimSpace(string(content)), nil
}

// file names the variable that may name a file with this one's value.
func (v variable) file() string { return v.name() + "_FILE" }

func named(all []variable, name string) bool {
	return slices.ContainsFunc(all, func(v variable) bool { return v.name() == name })
}

// set gives the variable's field this value, or its default for none. By
// envconfig, on its own, because envconfig stops at the first wrong one.
func (v variable) set(text string) error {
	text = cmp.Or(text, v.field.Tag.Get("default"))
	tag := fmt.Sprintf(`envconfig:"-%s" default:%q`, v.name(), text) // a name that no environment has: only the default counts
	alone := reflect.StructOf([]reflect.StructField{{Name: v.field.Name, Type: v.field.Type, Tag: reflect.StructTag(tag)}})
	one := reflect.New(alone)
	if err := envconfig.Process("", one.Interface()); err != nil {
		return v.explain(err)
	}
	v.value.Set(one.Elem().Field(0))
	return nil
}

func (v variable) explain(err error) error {
	if wrong := (*envconfig.ParseError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s must be a %s, got %q", v.name(), typeName(v.field.Type), wrong.Value)
	}
	return fmt.Errorf("%s: %w", v.name(), err)
}

func typeName(t reflect.Type) string {
	switch {
	case t.String() == "time.Duration":
		return "duration such as 30s"
	case t.Kind() == reflect.Slice:
		return "list separated by commas"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "whole number"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "number"
	}
	return t.Kind().String()
}

// Usage writes the table of config's variables: name, type, default, meaning.
func Usage(w io.Writer, name string, config any) {
	fmt.Fprintf(w, "Usage: %s [-help] [-version] [-probe]\n\n%s is configured by its environment. The value of any variable may stand in a file instead,\nwhich the variable's name with _FILE behind it names.\n\n", name, name)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VARIABLE\tTYPE\tDEFAULT\tMEANING")
	for _, v := range variables(config) {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", v.name(), v.field.Type, v.field.Tag.Get("default"), v.field.Tag.Get("desc"))
	}
	table.Flush()
}

// Names are all the variables that config reads, those that name files included.
func Names(config any) []string {
	var names []string
	for _, v := range variables(config) {
		names = append(names, v.name(), v.file())
	}
	return names
}

// Unknown lists variables of the environment that begin with one of config's
// prefixes (the part of its names before the first "_") and that config does
// not know: most often misspelt. Kubernetes' service links are not among them,
// nor what OpenTelemetry reads by itself.
func Unknown(config any, environ []string) []string {
	known, prefixes := map[string]bool{}, map[string]bool{}
	for _, name := range Names(config) {
		known[name] = true
		prefix, _, _ := strings.Cut(name, "_")
		prefixes[prefix+"_"] = true
	}
	var unknown []string
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		prefix, _, ok := strings.Cut(name, "_")
		if ok && prefixes[prefix+"_"] && !known[name] && prefix != "OTEL" && !serviceLink(name, value) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func serviceLink(name, value string) bool {
	return strings.Contains(name, "_SERVICE_") || strings.Contains(name, "_PORT_") || strings.HasPrefix(value, "tcp://")
}
