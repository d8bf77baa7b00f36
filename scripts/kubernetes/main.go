// Command kubernetes makes what is made of the manifests in deploy/kubernetes: the Helm chart,
// and the alert rules in the form that the Prometheus operator reads. With a folder's name it prints
// what kustomize makes of that folder. Run it from the repository's root: make kubernetes.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return generate(".")
	}
	for _, dir := range args {
		objects, err := build(dir)
		if err != nil {
			return err
		}
		fmt.Print(objects)
	}
	return nil
}

// generate writes the files that are made of others.
func generate(root string) error {
	if err := os.RemoveAll(filepath.Join(root, chartDir, "templates")); err != nil {
		return err
	}
	files, err := generated(root)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generated are the files that are made of others, by their paths below root.
// The rules come first: the chart is made of them too.
func generated(root string) (map[string][]byte, error) {
	rules, err := operatorRules(root)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{rulesFile: rules}
	chart, err := newChart(root, files)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, chart)
	return files, nil
}
