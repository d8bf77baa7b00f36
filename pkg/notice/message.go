package notice

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/rule"
)

// Message is what people read.
type Message struct {
	Title string // one line
	Text  string
	Link  string // to the chart
}

// Whole is the message as one text of at most so many units, as size counts
// them rune by rune. What is cut is the text in the middle: the title says what it is about,
// and the link leads to the rest.
func (m *Message) Whole(most int, size func(string) int) string {
	link := ""
	if m.Link != "" {
		link = "\n" + m.Link
	}
	text := "\n" + m.Text
	if size(m.Title+text+link) <= most {
		return m.Title + text + link
	}
	room, end := most-size(m.Title+"…"+link), 0
	for i, r := range text {
		if room -= size(string(r)); room < 0 {
			break
		}
		end = i + utf8.RuneLen(r)
	}
	return m.Title + text[:end] + "…" + link
}

// facts are what templates can say. All is text, because that is what it becomes.
type facts struct {
	ID, Rule, Name, Kind, Severity, State, Reason, Project string
	GroupBy, Group, Metric, NewValue                       string
	Value, Op, Threshold, Expected                         string // numbers; empty: none
	From, To, Since, At                                    string
	Event, EventID, User, Page                             string
	Link                                                   string
	Repeat, Test                                           bool
}

// factsOf are a firing's, in the channel's time zone.
func factsOf(n *Notice, c *Channel, base string) facts {
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil {
		zone = time.UTC
	}
	at := func(t event.Time) string {
		if t == 0 {
			return ""
		}
		return t.Std().In(zone).Format("2006-01-02 15:04:05 MST")
	}
	f := &n.Firing
	said := facts{
		ID: f.ID, Rule: f.Rule, Name: f.Name, Kind: f.Kind, Severity: f.Severity, State: f.State, Reason: f.Reason, Project: f.Project,
		GroupBy: f.GroupBy, Group: f.Group, Metric: f.Metric, NewValue: f.NewValue,
		Value: number(f.Value), Op: signs[f.Op], Threshold: number(f.Threshold), Expected: number(f.Expected),
		From: at(f.Window.From), To: at(f.Window.To), Since: at(f.Since), At: at(f.At),
		Link: link(base, f.Link), Repeat: f.Repeat, Test: n.Test,
	}
	if e := f.Event; e != nil {
		said.Event, said.EventID, said.User, said.Page = e.EventType, e.EventID, e.UserID, e.PageURL
	}
	for _, text := range []*string{&said.Name, &said.Group, &said.NewValue, &said.User, &said.Page} { // strangers chose them
		*text = piece(*text)
	}
	return said
}

var signs = map[string]string{"gt": ">", "gte": "≥", "lt": "<", "lte": "≤"}

// number is short enough to be read: more than four digits after the point say nothing more.
func number(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(round(*v), 'f', -1, 64)
}

func round(v float64) float64 {
	format := byte('f')
	if math.Abs(v) < 1 {
		format = 'g' // then those are counted that are not 0
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, format, 4, 64), 64)
	if err != nil {
		return v
	}
	return short
}

// link is empty when nobody has said where the charts are.
func link(base, path string) string {
	if base == "" || path == "" {
		return ""
	}
	return strings.TrimSuffix(base, "/") + path
}

// Write says a notice in the channel's words; base is where the charts' paths
// begin. Where those words cannot be said of this notice it takes the
// language's own: better a plain alarm than none.
func Write(n *Notice, c *Channel, base string) Message {
	said, own := factsOf(n, c, base), words[c.Language]
	if c.Language != Chinese {
		own = words[English]
	}
	say := func(custom, standard string) string {
		if text, err := execute(custom, said, n); custom != "" && err == nil {
			return text
		}
		text, _ := execute(standard, said, n)
		return text
	}
	title := strings.Join(strings.Fields(say(c.Title, own.title)), " ")
	if runes := []rune(title); len(runes) > maxTitle {
		title = string(runes[:maxTitle-1]) + "…"
	}
	return Message{title, strings.Trim(say(c.Text, own.text), "\n"), said.Link}
}

func orElse(text, missing string) string {
	if text == "" {
		return missing
	}
	return text
}

const (
	maxTemplate = 8 << 10
	maxTitle    = 200 // characters
	maxWritten  = 64 << 10
	maxPiece    = 4 << 10 // of what one function makes
)

// template reads one and tries it, so that a mistake is told now and not when it is needed.
func template(p *ask.Params, name string) string {
	v, ok := p.Get(name).(string)
	if !ok {
		if p.Has(name) {
			p.Fail(name, "must be text")
		}
		return ""
	}
	if len(v) > maxTemplate {
		p.Fail(name, "must have %d bytes or less, got %d", maxTemplate, len(v))
		return ""
	}
	sample := Sample("", "", "")
	if _, err := execute(v, factsOf(&sample, &Channel{}, ""), &sample); err != nil {
		p.Fail(name, "%s", err)
	}
	return v
}

// execute runs a template whose cost is bounded by its own length: it has no
// loops and calls no others, and what a function makes is short.
func execute(text string, said facts, n *Notice) (string, error) {
	parsed, err := texttemplate.New("").Funcs(functions(n)).Parse(text)
	if err != nil {
		return "", trim(err)
	}
	for _, t := range parsed.Templates() {
		if t.Name() != "" {
			return "", errors.New("a template must not define others")
		}
	}
	if parsed.Tree != nil {
		if err := check(reflect.ValueOf(parsed.Root)); err != nil {
			return "", err
		}
	}
	var out written
	if err := parsed.Execute(&out, said); err != nil {
		return "", trim(err)
	}
	return strings.Map(printable, out.String()), nil
}

// trim leaves out the template's name, which is none.
func trim(err error) error { return errors.New(strings.TrimPrefix(err.Error(), "template: :")) }

// printable drops what could hide or reverse the rest of a message.
func printable(r rune) rune {
	if r == '\n' || r == '\t' || unicode.IsPrint(r) {
		return r
	}
	return -1
}

// allowed are the functions of templates; the others of text/template can make
// much from little.
var allowed = []string{"and", "or", "not", "eq", "ne", "len", "property", "upper", "lower", "default"}

func functions(n *Notice) texttemplate.FuncMap {
	return texttemplate.FuncMap{
		"property": func(name string) string {
			if n.Firing.Event == nil {
				return ""
			}
			return piece(event.Property(string(n.Firing.Event.Properties), name).String())
		},
		"upper":   func(s string) string { return piece(strings.ToUpper(s)) },
		"lower":   func(s string) string { return piece(strings.ToLower(s)) },
		"default": func(missing, s string) string { return orElse(s, missing) },
	}
}

func piece(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxPiece)], "") }

// check refuses loops, other templates, and fields and functions that there are
// not, wherever in the tree they stand: a branch may not be taken for months.
func check(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || v.Type() == treeType {
			return nil
		}
		switch node := v.Interface().(type) {
		case *parse.RangeNode, *parse.WithNode, *parse.TemplateNode, *parse.ChainNode:
			return fmt.Errorf("a template must not have %.60s", node)
		case *parse.IdentifierNode:
			if !slices.Contains(allowed, node.Ident) {
				return fmt.Errorf("there is no function %q here, there are %s", node.Ident, strings.Join(allowed, ", "))
			}
		case *parse.FieldNode:
			return checkFact(node.Ident)
		case *parse.VariableNode:
			return checkFact(node.Ident[1:])
		}
		return check(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				if err := check(v.Field(i)); err != nil {
					return err
				}
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := check(v.Index(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkFact(path []string) error {
	t := reflect.TypeFor[facts]()
	if len(path) == 0 {
		return nil
	}
	if _, ok := t.FieldByName(path[0]); ok && len(path) == 1 {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		names = append(names, "."+t.Field(i).Name)
	}
	return fmt.Errorf("there is no .%s here, there are %s", strings.Join(path, "."), strings.Join(names, ", "))
}

var treeType = reflect.TypeFor[*parse.Tree]()

// written is a text that does not become too long.
type written struct{ strings.Builder }

func (w *written) Write(p []byte) (int, error) {
	if w.Len()+len(p) > maxWritten {
		return 0, fmt.Errorf("the text is longer than %d bytes", maxWritten)
	}
	return w.Builder.Write(p)
}

// Sample is a notice to try a channel with.
func Sample(project, channel, id string) Notice {
	value, threshold := 12500.0, 10000.0
	moment := event.Time(1767225600000)
	return Notice{
		ID: id, Project: project, Channel: channel, Test: true,
		Firing: rule.Firing{
			ID: "test", Rule: "test", Project: project, Name: "High-value purchase", Kind: "event", Severity: "info", Channels: []string{channel}, State: rule.StateFiring,
			Metric: "amount", Value: &value, Op: "gte", Threshold: &threshold, Window: rule.Span{From: moment, To: moment}, Since: moment, At: moment, Link: "/",
			Event: &rule.Sample{EventID: "test", EventType: "purchase", EventName: "purchase", UserID: "user-1", Timestamp: moment, Properties: []byte(`{"amount":12500,"currency":"EUR"}`)},
		},
	}
}
