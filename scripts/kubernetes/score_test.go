package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/zegl/kube-score/config"
	ks "github.com/zegl/kube-score/domain"
	"github.com/zegl/kube-score/parser"
	"github.com/zegl/kube-score/score"
	"github.com/zegl/kube-score/score/checks"
	"github.com/zegl/kube-score/scorecard"
)

// ignored are kube-score's opinions that are not ours.
var ignored = map[string]struct{}{
	"container-image-pull-policy":              {}, // a tag names one image for good, and a registry that is away must stop no restart
	"deployment-has-host-podantiaffinity":      {}, // topologySpreadConstraints say it, by zone and by machine
	"container-security-context-user-group-id": {}, // it wants them above 10000: that of mongo is 999
}

type text struct {
	io.Reader
	name string
}

func (t text) Name() string { return t.name }

// scored is what kube-score says against the objects.
func scored(t *testing.T, all objects) (said []string) {
	t.Helper()
	run := &config.RunConfiguration{
		KubernetesVersion: config.Semver{Major: 1, Minor: 30}, UseIgnoreChecksAnnotation: true,
		EnabledOptionalTests: map[string]struct{}{"container-seccomp-profile": {}}, MinReplicasDeployment: 2, MinReplicasHPA: 2,
	}
	p, err := parser.New(&parser.Config{})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := p.ParseFiles([]ks.NamedReader{text{strings.NewReader(all.String()), "manifests"}})
	if err != nil {
		t.Fatal(err)
	}
	card, err := score.Score(parsed, score.RegisterAllChecks(parsed, &checks.Config{IgnoredTests: ignored}, run), run)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range *card {
		for _, check := range o.Checks {
			if check.Skipped || check.Grade > scorecard.GradeWarning {
				continue
			}
			for _, c := range check.Comments {
				said = append(said, fmt.Sprintf("%s %s: %s: %s: %s", o.TypeMeta.Kind, o.ObjectMeta.Name, check.Check.ID, c.Path, c.Summary))
			}
		}
	}
	slices.Sort(said)
	return said
}

func TestKubeScore(t *testing.T) {
	for name, made := range deployments(t) {
		if name == "overlays/dev" || name == "servers/sharded" {
			continue // one of each, and servers that are their operator's
		}
		made = slices.DeleteFunc(made, func(o object) bool { return o.text("metadata.namespace") == "maidian-data" })
		for _, said := range scored(t, made) {
			t.Errorf("%s: %s", name, said)
		}
	}
}

func TestKubeScoreFindsWhatIsWrong(t *testing.T) {
	base := deployments(t)["base"]
	tests := []struct {
		kind, name, path string
		value            any
		want             string
	}{
		{"Deployment", "store", service + "resources.limits", map[string]any{}, "container-resources"},
		{"Deployment", "store", service + "image", "maidian/consumer:latest", "container-image-tag"},
		{"Deployment", "store", service + "securityContext", map[string]any{}, "container-security-context"},
		{"Deployment", "collector", service + "readinessProbe", nil, "pod-probes"},
		{"Service", "query", "spec.selector", map[string]any{"app": "else"}, "service-targets-pod"},
		{"Deployment", "query", "spec.replicas", 2, "deployment-targeted-by-hpa-does-not-have-replicas-configured"},
		{"PodDisruptionBudget", "query", "spec.selector.matchLabels", map[string]any{"app": "else"}, "deployment-has-poddisruptionbudget"},
		{"NetworkPolicy", "mail", "spec.podSelector.matchLabels", map[string]any{"app": "else"}, "networkpolicy-targets-pod"},
	}
	for _, test := range tests {
		broken := slices.Clone(base)
		for i, o := range broken {
			if o.kind() == test.kind && o.name() == test.name {
				broken[i] = clone(o)
				if err := broken[i].put(test.path, test.value); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := strings.Join(scored(t, broken), "\n"); !strings.Contains(got, test.want) {
			t.Errorf("%s of %s %s is %v: kube-score does not say %s, but %q", test.path, test.kind, test.name, test.value, test.want, got)
		}
	}
}
