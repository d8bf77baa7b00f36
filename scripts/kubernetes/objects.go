package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// object is a Kubernetes object, as plain values.
type object map[string]any

// objects are those of a deployment, in its order.
type objects []object

func (o object) kind() string { return o.text("kind") }
func (o object) name() string { return o.text("metadata.name") }

// id tells an object from all others of a deployment.
func (o object) id() string {
	return strings.Join([]string{o.kind(), o.text("metadata.namespace"), o.name()}, "/")
}

// at is the value at a path such as "spec.template.spec.containers.0.image", nil when
// there is none. A dot inside a key is written as "\.".
func (o object) at(path string) any { return at(map[string]any(o), path) }

// text is the string at a path, and "" for none.
func (o object) text(path string) string {
	text, _ := o.at(path).(string)
	return text
}

func at(value any, path string) any {
	for _, key := range keys(path) {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// put replaces the value at a path that exists, but for its last key.
func (o object) put(path string, value any) error {
	all := keys(path)
	last := all[len(all)-1]
	switch v := at(map[string]any(o), strings.Join(escape(all[:len(all)-1]), ".")).(type) {
	case map[string]any:
		v[last] = value
		return nil
	case []any:
		if i, err := strconv.Atoi(last); err == nil && i < len(v) {
			v[i] = value
			return nil
		}
	}
	return fmt.Errorf("%s has no %s", o.id(), path)
}

func keys(path string) []string {
	if path == "" {
		return nil
	}
	parts := strings.Split(strings.ReplaceAll(path, `\.`, "\x00"), ".")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], "\x00", ".")
	}
	return parts
}

func escape(keys []string) []string {
	escaped := make([]string, len(keys))
	for i, key := range keys {
		escaped[i] = strings.ReplaceAll(key, ".", `\.`)
	}
	return escaped
}

// named is the object of this kind and name, nil when there is none.
func (all objects) named(kind, name string) object {
	for _, o := range all {
		if o.kind() == kind && o.name() == name {
			return o
		}
	}
	return nil
}

// of are the objects of these kinds.
func (all objects) of(kinds ...string) (some objects) {
	for _, o := range all {
		for _, kind := range kinds {
			if o.kind() == kind {
				some = append(some, o)
			}
		}
	}
	return some
}

// String is their YAML, as kubectl takes it.
func (all objects) String() string {
	var docs []string
	for _, o := range all {
		text, err := yaml.Marshal(o)
		if err != nil {
			return err.Error() // never of what was read from YAML
		}
		docs = append(docs, string(text))
	}
	return strings.Join(docs, "---\n")
}

// parse reads the objects of a file.
func parse(text []byte) (all objects, err error) {
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var o object
		if err := yaml.Unmarshal(doc, &o); err != nil {
			return nil, err
		}
		if len(o) > 0 {
			all = append(all, o)
		}
	}
	return all, nil
}

// build is what kustomize makes of a folder.
func build(dir string) (objects, error) { return kustomize(filesys.MakeFsOnDisk(), dir) }

func kustomize(files filesys.FileSystem, dir string) (objects, error) {
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, dir)
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w", dir, err)
	}
	text, err := made.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w", dir, err)
	}
	return parse(text)
}

// buildWith is what kustomize makes of the base with components, and images if there are any, without a
// folder that says so. What is in changed stands in the place of files on the disk.
func buildWith(root string, changed map[string][]byte, images []any, components ...string) (objects, error) {
	files, err := inMemory(root, changed)
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, c := range components {
		folders = append(folders, "../components/"+c)
	}
	text, err := yaml.Marshal(map[string]any{"resources": []string{"../base"}, "images": images, "components": folders})
	if err != nil {
		return nil, err
	}
	if err := files.WriteFile("/"+manifests+"/overlay/kustomization.yaml", text); err != nil {
		return nil, err
	}
	return kustomize(files, "/"+manifests+"/overlay")
}

const manifests = "deploy/kubernetes"

func inMemory(root string, changed map[string][]byte) (filesys.FileSystem, error) {
	files := filesys.MakeFsInMemory()
	err := filepath.WalkDir(filepath.Join(root, manifests), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return files.WriteFile("/"+filepath.ToSlash(name), text)
	})
	for name, text := range changed {
		if err == nil {
			err = files.WriteFile("/"+name, text)
		}
	}
	return files, err
}
