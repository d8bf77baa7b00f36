package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const rulesFile = manifests + "/components/monitoring/rules.yaml"

// operatorRules are the files of deploy/prometheus/rules as a PrometheusRule.
func operatorRules(root string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(root, "deploy/prometheus/rules/*.yaml"))
	if err != nil {
		return nil, err
	}
	var groups []any
	for _, path := range files {
		if strings.HasSuffix(path, "_test.yaml") {
			continue // promtool's
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var file struct{ Groups []any }
		if err := yaml.UnmarshalStrict(text, &file); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		groups = append(groups, file.Groups...)
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("there are no rules in %s", filepath.Join(root, "deploy/prometheus/rules"))
	}
	text, err := yaml.Marshal(object{
		"apiVersion": "monitoring.coreos.com/v1",
		"kind":       "PrometheusRule",
		"metadata":   map[string]any{"name": "maidian", "namespace": "maidian"},
		"spec":       map[string]any{"groups": groups},
	})
	return append([]byte("# Made of deploy/prometheus/rules by \"make kubernetes\": change it there.\n"), text...), err
}
