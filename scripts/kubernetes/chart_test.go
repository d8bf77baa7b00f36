package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

const root = "../.."

func TestWhatIsMadeOfTheManifestsIsMadeOfThese(t *testing.T) {
	want, err := generated(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !bytes.Equal(got, want[name]) {
			t.Errorf("%s is not what the manifests make: run make kubernetes (%v)", name, err)
		}
	}
	there, err := filepath.Glob(filepath.Join(root, chartDir, "templates", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if name, _ := filepath.Rel(root, path); want[name] == nil {
			t.Errorf("%s is made of nothing any more: run make kubernetes", name)
		}
	}
}

// writeChart writes the chart that lies in the repository, each file changed as told, and returns its folder.
func writeChart(t *testing.T, change func(text string) string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "maidian")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, chartDir))); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(change(string(text))), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// render is what Helm makes of the chart with these values.
func render(dir string, values map[string]any) (objects, error) {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "maidian", Namespace: "maidian", Revision: 1, IsInstall: true}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}
	all, err := chartutil.ToRenderValues(c, values, release, capabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	var made objects
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		some, err := parse([]byte(files[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		made = append(made, some...)
	}
	return made, nil
}

// differences between what Helm and kustomize make: nothing but the ends of ConfigMaps' names, the order
// of variables, and the namespaces, may differ.
func differences(helm, kustomize objects) (wrong []string) {
	a, b := plain(helm), plain(kustomize)
	ids := maps.Clone(a)
	maps.Copy(ids, b)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		switch {
		case a[id] == "":
			wrong = append(wrong, id+" is missing in the chart")
		case b[id] == "":
			wrong = append(wrong, id+" is in the chart alone")
		case a[id] != b[id]:
			wrong = append(wrong, fmt.Sprintf("%s differs: the chart has %s", id, firstDifference(a[id], b[id])))
		}
	}
	return wrong
}

func firstDifference(a, b string) string {
	got, want := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("%q for %q", strings.TrimSpace(got[i]), strings.TrimSpace(want[i]))
		}
	}
	return fmt.Sprintf("%d lines for %d", len(got), len(want))
}

var nameEnd = regexp.MustCompile(`\b(maidian|maidian-queue)-[a-z0-9]{10}\b`)

func plain(all objects) map[string]string {
	texts := map[string]string{}
	for _, o := range all {
		if o.kind() == "Namespace" {
			continue
		}
		o = clone(o)
		for _, container := range containers(o) {
			vars, _ := container["env"].([]any)
			slices.SortFunc(vars, func(a, b any) int { return cmp.Compare(fmt.Sprint(at(a, "name")), fmt.Sprint(at(b, "name"))) })
		}
		texts[nameEnd.ReplaceAllString(o.id(), "$1")] = nameEnd.ReplaceAllString(objects{o}.String(), "$1")
	}
	return texts
}

// settings are values.yaml's from pairs such as "keda.enabled", true.
func settings(pairs ...any) map[string]any {
	values := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		at := values
		path := strings.Split(pairs[i].(string), ".")
		for _, key := range path[:len(path)-1] {
			if at[key] == nil {
				at[key] = map[string]any{}
			}
			at = at[key].(map[string]any)
		}
		at[path[len(path)-1]] = pairs[i+1]
	}
	return values
}

func TestTheChartAndTheManifestsAreTheSame(t *testing.T) {
	dir := filepath.Join(root, chartDir)
	for name, test := range map[string]struct {
		values     map[string]any
		components []string
	}{
		"the base":          {},
		"keda":              {settings("keda.enabled", true), []string{"keda"}},
		"by processor time": {settings("storeByCPU.enabled", true), []string{"store-by-cpu"}},
		"monitoring":        {settings("monitoring.enabled", true), []string{"monitoring"}},
		"tracing":           {settings("tracing.enabled", true), []string{"tracing"}},
		"secrets":           {settings("externalSecrets.enabled", true), []string{"external-secrets"}},
		"backup":            {settings("backup.enabled", true), []string{"backup"}},
		"backup to S3":      {settings("backup.enabled", true, "backup.s3", true), []string{"backup", "backup-s3"}},
		"all of it": {
			settings("keda.enabled", true, "monitoring.enabled", true, "externalSecrets.enabled", true, "backup.enabled", true, "backup.s3", true),
			[]string{"keda", "monitoring", "external-secrets", "backup", "backup-s3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			helm, err := render(dir, test.values)
			if err != nil {
				t.Fatal(err)
			}
			base, err := buildWith(root, nil, nil, test.components...)
			if err != nil {
				t.Fatal(err)
			}
			for _, wrong := range differences(helm, base) {
				t.Error(wrong)
			}
		})
	}
}

func TestTheChartMakesTheProductionOverlay(t *testing.T) {
	helm, err := render(filepath.Join(root, chartDir), settings(
		"image.prefix", "registry.example.com/maidian/", "image.tag", "1.0.0",
		"keda.enabled", true, "monitoring.enabled", true, "externalSecrets.enabled", true, "backup.enabled", true, "backup.s3", true,
	))
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := build(filepath.Join(root, manifests, "overlays/production"))
	if err != nil {
		t.Fatal(err)
	}
	overlay = slices.DeleteFunc(overlay, func(o object) bool { return o.text("metadata.namespace") == "maidian-data" })
	for _, wrong := range differences(helm, overlay) {
		t.Error(wrong)
	}
}

func TestValuesReachTheObjects(t *testing.T) {
	helm, err := render(filepath.Join(root, chartDir), settings(
		"store.replicas", 7, "collector.env.COLLECTOR_RATE", "50", "query.resources.limits.memory", "2000Mi",
		"query.ingress.host", "maidian.test", "namespaces.servers", "elsewhere", "queue.ANALYTICS_QUEUE_NAME", "shop",
	))
	if err != nil {
		t.Fatal(err)
	}
	made := helm.String()
	for _, want := range []string{
		"replicas: 7", "- name: COLLECTOR_RATE\n          value: \"50\"", "value: 1800MiB", "host: maidian.test", "- hosts:\n    - maidian.test",
		"kubernetes.io/metadata.name: elsewhere", "ANALYTICS_QUEUE_NAME: shop",
	} {
		if !strings.Contains(made, want) {
			t.Errorf("nothing has %q", want)
		}
	}
}

// A comparison that cannot fail shows nothing.
func TestAChartThatDiffersIsFound(t *testing.T) {
	kustomize, err := buildWith(root, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string][2]string{
		"readOnlyRootFilesystem: true": {"readOnlyRootFilesystem: false", "Deployment/maidian/collector differs"},
		"maxUnavailable: 1":            {"maxUnavailable: 2", "PodDisruptionBudget/maidian/collector differs"},
		"kind: Service\n":              {"kind: Services\n", "Service/maidian/collector is missing in the chart"},
	} {
		helm, err := render(writeChart(t, func(text string) string { return strings.ReplaceAll(text, change, want[0]) }), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(differences(helm, kustomize), "\n"); !strings.Contains(got, want[1]) {
			t.Errorf("with %q: %q does not say %q", want[0], got, want[1])
		}
	}
}

// lintChart is what helm lint says, but for advice.
func lintChart(dir string) (said []string) {
	for _, m := range lint.AllWithKubeVersion(dir, nil, "maidian", &chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}).Messages {
		if m.Severity >= support.WarningSev {
			said = append(said, m.Error())
		}
	}
	return said
}

func TestHelmLint(t *testing.T) {
	for _, said := range lintChart(filepath.Join(root, chartDir)) {
		t.Error(said)
	}
	for name, broken := range map[string]func(text string) string{
		"a template that does not end": func(text string) string { return strings.Replace(text, "{{- end }}", "", 1) },
		"a chart without a version":    func(text string) string { return strings.Replace(text, "\nversion:", "\nverzion:", 1) },
		"YAML that is none":            func(text string) string { return strings.Replace(text, "\nspec:\n", "\nspec: [\n", 1) },
	} {
		if len(lintChart(writeChart(t, broken))) == 0 {
			t.Errorf("%s: helm lint says nothing", name)
		}
	}
}

func TestValuesThatCannotBeAreRefused(t *testing.T) {
	dir := filepath.Join(root, chartDir)
	for _, values := range []map[string]any{
		settings("store.replica", 4), settings("keda.enabled", "yes"), settings("store.replicas", 0), settings("query.resources.limits.memory", "4Gi"),
		settings("keda.enabled", true, "storeByCPU.enabled", true),
	} {
		if _, err := render(dir, values); err == nil {
			t.Errorf("%v was taken", values)
		}
	}
}
