package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kubectl-validate/pkg/openapiclient"
	"sigs.k8s.io/kubectl-validate/pkg/validator"
	"sigs.k8s.io/yaml"
)

// definitions of the kinds that are not Kubernetes' own, from the modules of those who made them. They are
// downloaded and not required: what these modules require is no matter of ours. The sum is that of go.sum.
var definitions = []struct{ module, sum, folder string }{
	{"github.com/kedacore/keda/v2@v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=", "config/crd/bases"},
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=", "example/prometheus-operator-crd"},
	{"github.com/external-secrets/external-secrets@v1.3.2", "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=", "config/crds/bases"},
	{"github.com/mongodb/mongodb-kubernetes-operator@v0.9.0", "h1:1SBmpQznWVbUgzi+ScNCNv6z5pLBwsSe4DUDKxHzFwc=", "config/crd/bases"},
}

// unchecked are the kinds whose definitions no Go module has that can be had.
var unchecked = []string{"RabbitmqCluster", "PerconaServerMongoDB"}

func download(module, sum string) (dir string, err error) {
	said, err := exec.Command("go", "mod", "download", "-json", module).Output()
	var got struct{ Dir, Sum, Error string }
	if wrong := json.Unmarshal(said, &got); wrong != nil || got.Error != "" {
		return "", fmt.Errorf("go mod download %s: %w", module, errors.Join(err, wrong, errors.New(got.Error)))
	}
	if got.Sum != sum {
		return "", fmt.Errorf("%s is not what it was: its sum is %s", module, got.Sum)
	}
	return got.Dir, nil
}

func newValidator(t *testing.T) *validator.Validator {
	t.Helper()
	var folders []fs.FS
	for _, d := range definitions {
		dir, err := download(d.module, d.sum)
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, os.DirFS(filepath.Join(dir, d.folder)))
	}
	v, err := validator.New(openapiclient.NewComposite(
		openapiclient.NewLocalCRDFiles(folders...),
		openapiclient.NewOverlay(openapiclient.HardcodedPatchLoader("1.30"), openapiclient.NewHardcodedBuiltins("1.30")),
	))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// schemaErrors are what an API server of 1.30 would say of the objects' fields, as kubectl-validate has it.
func schemaErrors(v *validator.Validator, all objects) (wrong []string) {
	for _, o := range all {
		if slices.Contains(unchecked, o.kind()) {
			continue
		}
		text, err := yaml.Marshal(o)
		if err == nil {
			_, parsed, failed := v.Parse(text)
			if err = failed; err == nil {
				err = v.Validate(parsed)
			}
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %s", o.id(), err))
		}
	}
	return wrong
}

// deployments are what people apply, by the folder they are in.
func deployments(t *testing.T) map[string]objects {
	t.Helper()
	all := map[string]objects{}
	for _, dir := range []string{"base", "overlays/dev", "overlays/production", "servers/sharded"} {
		made, err := build(filepath.Join(root, manifests, dir))
		if err != nil {
			t.Fatal(err)
		}
		all[dir] = made
	}
	byCPU, err := buildWith(root, nil, nil, "store-by-cpu", "backup")
	if err != nil {
		t.Fatal(err)
	}
	all["base with store-by-cpu and backup"] = byCPU
	return all
}

func TestFieldsAreThoseOfKubernetes(t *testing.T) {
	v := newValidator(t)
	for name, made := range deployments(t) {
		for _, wrong := range schemaErrors(v, made) {
			t.Errorf("%s: %s", name, wrong)
		}
	}
}

func TestWrongFieldsAreFound(t *testing.T) {
	v := newValidator(t)
	production := deployments(t)["overlays/production"]
	tests := []struct {
		kind, name, path string
		value            any
		want             string
	}{
		{"Deployment", "store", "spec.template.spec.enableServiceLink", false, "enableServiceLink"},
		{"Deployment", "store", "spec.template.spec.terminationGracePeriodSeconds", "long", "terminationGracePeriodSeconds"},
		{"NetworkPolicy", "front", "spec.policyTypes", "Ingress", "policyTypes"},
		{"ScaledObject", "store", "spec.fallback.replicas", -1, "fallback.replicas"},
		{"ScaledObject", "store", "spec.maxReplicas", 3, "maxReplicas"},
		{"PodMonitor", "maidian", "spec.podMetricsEndpoints.0.interval", "soon", "interval"},
		{"ExternalSecret", "maidian-query", "spec.refreshEvery", "1m", "refreshEvery"},
		{"MongoDBCommunity", "mongodb", "spec.members", "three", "members"},
	}
	for _, test := range tests {
		o := clone(production.named(test.kind, test.name))
		if err := o.put(test.path, test.value); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(schemaErrors(v, objects{o}), "\n"); !strings.Contains(got, test.want) {
			t.Errorf("%s of %s %s is %v: %q does not say %q", test.path, test.kind, test.name, test.value, got, test.want)
		}
	}
	if len(schemaErrors(v, objects{{"apiVersion": "maidian.example/v1", "kind": "Shop", "metadata": map[string]any{"name": "x"}}})) == 0 {
		t.Error("a kind that nobody defines was let through")
	}
}
