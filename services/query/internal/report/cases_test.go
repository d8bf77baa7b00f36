package report

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/testenv/cases"
	"github.com/maidian/maidian/services/query/internal/columns"
)

// asked is a request read and answered, with the request as the answer's query.
type asked func(ctx context.Context, v *columns.View, p *Params, env Env) (query, answer any, err error)

func readAndRun[R, A any](read func(*Params, Env) (R, error), run func(context.Context, *columns.View, R) (A, error)) asked {
	return func(ctx context.Context, v *columns.View, p *Params, env Env) (any, any, error) {
		r, err := read(p, env)
		if err != nil {
			return nil, nil, err
		}
		a, err := run(ctx, v, r)
		return r, a, err
	}
}

var routes = map[string]asked{
	"funnel":          readAndRun(ReadFunnel, Funnel),
	"funnel/users":    readAndRun(ReadFunnelUsers, FunnelUsers),
	"funnel/explain":  readAndRun(ReadFunnelExplain, FunnelExplain),
	"retention":       readAndRun(ReadRetention, Retention),
	"retention/users": readAndRun(ReadRetentionUsers, RetentionUsers),
	"trends":          readAndRun(ReadTrends, Trends),
	"stickiness":      readAndRun(ReadStickiness, Stickiness),
	"lifecycle":       readAndRun(ReadLifecycle, Lifecycle),
	"paths":           readAndRun(ReadPaths, Paths),
}

// post answers a request as the API does, but for freshness.
func post(v *columns.View, route string, body []byte) ([]byte, error) {
	p, err := ParamsFromJSON(body)
	if err != nil {
		return nil, err
	}
	query, answer, err := routes[route](context.Background(), v, p, testEnv)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(map[string]any{"query": query})
	if err != nil {
		return nil, err
	}
	return append(append(head[:len(head)-1], ','), text[1:]...), nil
}

func view(t testing.TB, sent []cases.Sent) *columns.View {
	t.Helper()
	var events []event.Event
	for _, s := range sent {
		e, err := s.Stored("demo")
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return columns.FromEvents("demo", events)
}

func runCase(t *testing.T, c cases.Case) {
	if c.Skip != "" {
		t.Skip(c.Skip)
	}
	v := view(t, c.Events)
	for _, a := range c.Asks {
		answer, err := post(v, a.Route, a.JSON())
		switch {
		case a.Status == 400 && fault.KindOf(err) != fault.Invalid:
			t.Errorf("%s %s: got %v, want it refused as invalid", a.Route, a.JSON(), err)
		case a.Status == 400:
		case err != nil:
			t.Errorf("%s %s: %v", a.Route, a.JSON(), err)
		default:
			if err := a.Verify(answer); err != nil {
				t.Errorf("%s\n%s\n%s %s\n%v", c.Title, a.Route, a.JSON(), answer, err)
			}
		}
	}
}

func TestSharedCases(t *testing.T) {
	for _, name := range cases.Files() {
		t.Run(name, func(t *testing.T) {
			for _, c := range cases.Load(t, name) {
				t.Run(c.ID, func(t *testing.T) { runCase(t, c) })
			}
		})
	}
}

func TestOwnCases(t *testing.T) {
	for _, name := range cases.Files() {
		paths, err := filepath.Glob(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			for _, c := range cases.LoadFile(t, path, name) {
				t.Run(c.ID, func(t *testing.T) { runCase(t, c) })
			}
		}
	}
}
