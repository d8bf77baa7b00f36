package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed openapi.yaml
var openapiYAML []byte

type object = map[string]any

// OpenAPI is the document that describes this API, written out as JSON.
func OpenAPI() ([]byte, error) {
	var doc object
	if err := yaml.Unmarshal(openapiYAML, &doc); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	parameters, answer := doc["x-parameters"].(object), doc["x-answer"].(object)
	delete(doc, "x-parameters")
	delete(doc, "x-answer")
	paths, schemas := doc["paths"].(object), doc["components"].(object)["schemas"].(object)
	for path, item := range paths {
		if read, ok := item.(object)["x-read"].(object); ok {
			delete(paths, path)
			writeOut(path, read, parameters, paths)
			if schema, ok := schemas[read["id"].(string)].(object); ok {
				addMissing(schema["properties"].(object), answer)
			}
		}
	}
	for _, item := range paths {
		addErrors(item.(object))
	}
	closeObjects(doc)
	return json.Marshal(doc)
}

// writeOut makes the two operations of a report, and those of its second path.
func writeOut(path string, read, parameters, paths object) {
	id := read["id"].(string)
	paths[path] = object{"get": operation("get"+id, path, read, parameters), "post": operation("post"+id, path, read, parameters)}
	if alias, ok := read["alias"].(string); ok {
		paths[alias] = object{"get": operation("get"+id+"Alias", alias, read, parameters), "post": operation("post"+id+"Alias", alias, read, parameters)}
	}
}

func operation(id, path string, read, parameters object) object {
	required, _ := read["required"].([]any)
	given, body := []any{}, object{}
	for _, n := range read["parameters"].([]any) {
		p := parameters[n.(string)].(object)
		name, renamed := p["name"].(string)
		if !renamed {
			name = n.(string)
		}
		switch {
		case strings.Contains(path, "{"+name+"}"):
			given = append(given, object{"name": name, "in": "path", "required": true, "schema": p["schema"], "description": p["description"]})
		case strings.HasPrefix(id, "get"):
			given = append(given, inQuery(name, p, slices.Contains(required, any(name))))
		default:
			body[name] = object{"allOf": []any{p["schema"]}, "description": p["description"]}
		}
	}
	op := object{"operationId": id, "tags": []any{"reports"}, "summary": read["summary"], "parameters": given, "responses": object{"200": success(read)}}
	if description, ok := read["description"]; ok {
		op["description"] = description
	}
	if strings.HasPrefix(id, "post") {
		schema := object{"type": "object", "properties": body, "additionalProperties": false}
		if len(required) > 0 {
			schema["required"] = required
		}
		op["requestBody"] = object{"content": object{"application/json": object{"schema": schema}}}
	}
	return op
}

// inQuery writes lists and objects as JSON.
func inQuery(name string, p object, required bool) object {
	in := object{"name": name, "in": "query", "description": p["description"]}
	if required {
		in["required"] = true
	}
	schema := p["schema"].(object)
	if _, refers := schema["$ref"]; refers || schema["type"] == "array" || schema["type"] == "object" {
		in["content"] = object{"application/json": object{"schema": schema}}
	} else {
		in["schema"] = schema
	}
	return in
}

func success(read object) object {
	if file, ok := read["file"]; ok {
		return object{"description": "A file", "content": file}
	}
	ref := object{"$ref": "#/components/schemas/" + read["id"].(string)}
	return object{"description": "The answer", "content": object{"application/json": object{"schema": ref}}}
}

func addMissing(to, from object) {
	for name, v := range from {
		if _, has := to[name]; !has {
			to[name] = v
		}
	}
}

// addErrors gives each operation the errors that any of them can end with.
func addErrors(item object) {
	for method, op := range item {
		if method != "parameters" {
			responses := op.(object)["responses"].(object)
			for _, status := range []string{"400", "401", "403", "404", "405", "409", "413", "422", "500", "503"} {
				responses[status] = object{"$ref": "#/components/responses/Error"}
			}
		}
	}
}

// closeObjects makes every schema with properties say that it has no others,
// and that all are there which it does not name in x-optional.
func closeObjects(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			closeObjects(item)
		}
	case object:
		for _, item := range v {
			closeObjects(item)
		}
		properties, ok := v["properties"].(object)
		if _, open := v["additionalProperties"]; !ok || open || v["type"] != "object" {
			return
		}
		optional, _ := v["x-optional"].([]any)
		delete(v, "x-optional")
		required := []any{}
		for name := range properties {
			if !slices.Contains(optional, any(name)) {
				required = append(required, name)
			}
		}
		v["additionalProperties"] = false
		if len(required) > 0 {
			slices.SortFunc(required, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
			v["required"] = required
		}
	}
}
