package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

const chartDir = "deploy/helm/maidian"

// knob is a place in the manifests that the chart's users may set. Its default is what stands there.
type knob struct {
	kind, name, path string
	value            string // where it stands in values.yaml; "" when it is worked out from others
	template         string // what takes its place, with %s for value; "" for the value, quoted if it is text
}

const (
	service   = "spec.template.spec.containers.0."
	block     = "{{ toYaml .Values.%s | nindent INDENT }}"
	goMemory  = `{{ div (mul (trimSuffix "Mi" .Values.%s.resources.limits.memory | int) 9) 10 }}MiB`
	image     = `{{ printf "%%s%s:%%s" .Values.image.prefix .Values.image.tag | quote }}`
	namespace = `kubernetes\.io/metadata\.name`
)

// roles are the deployments, and the images that they run.
var roles = []struct{ name, image string }{
	{"collector", "collector"}, {"store", "consumer"}, {"alert", "consumer"}, {"forward", "consumer"}, {"query", "query"},
}

// knobs in the order of values.yaml.
func knobs() []knob {
	all := []knob{
		{kind: "ConfigMap", name: "maidian", path: "data", value: "settings", template: block},
		{kind: "ConfigMap", name: "maidian-queue", path: "data", value: "queue", template: block},
	}
	for _, r := range roles {
		all = append(all,
			knob{kind: "Deployment", name: r.name, path: service + "image", template: fmt.Sprintf(image, r.image)},
			knob{kind: "Deployment", name: r.name, path: service + "resources", value: r.name + ".resources", template: block},
			knob{kind: "Deployment", name: r.name, path: service + "env", value: r.name + ".env"},
		)
	}
	for _, front := range []string{"collector", "query"} {
		all = append(all,
			knob{kind: "HorizontalPodAutoscaler", name: front, path: "spec.minReplicas", value: front + ".minReplicas"},
			knob{kind: "HorizontalPodAutoscaler", name: front, path: "spec.maxReplicas", value: front + ".maxReplicas"},
			knob{kind: "Ingress", name: front, path: "metadata.annotations", value: front + ".ingress.annotations", template: block},
			knob{kind: "Ingress", name: front, path: "spec.ingressClassName", value: front + ".ingress.className"},
			knob{kind: "Ingress", name: front, path: "spec.rules.0.host", value: front + ".ingress.host"},
			knob{kind: "Ingress", name: front, path: "spec.tls.0.hosts.0", value: front + ".ingress.host"},
			knob{kind: "Ingress", name: front, path: "spec.tls.0.secretName", value: front + ".ingress.secretName"},
		)
	}
	for _, worker := range []string{"store", "alert", "forward"} {
		all = append(all, knob{kind: "Deployment", name: worker, path: "spec.replicas", value: worker + ".replicas"})
	}
	from := "spec.ingress.0.from.0.namespaceSelector.matchLabels." + namespace
	to := "spec.egress.0.to.0.namespaceSelector.matchLabels." + namespace
	return append(all,
		knob{kind: "NetworkPolicy", name: "front", path: from, value: "namespaces.ingress"},
		knob{kind: "NetworkPolicy", name: "metrics", path: from, value: "namespaces.monitoring"},
		knob{kind: "NetworkPolicy", name: "database", path: to, value: "namespaces.servers"},
		knob{kind: "NetworkPolicy", name: "broker", path: to, value: "namespaces.servers"},
		knob{kind: "NetworkPolicy", name: "management", path: to, value: "namespaces.servers"},
		knob{kind: "NetworkPolicy", name: "traces", path: to, value: "namespaces.monitoring"},
		knob{kind: "ScaledObject", name: "store", path: "spec.minReplicaCount", value: "store.minReplicas"},
		knob{kind: "ScaledObject", name: "store", path: "spec.maxReplicaCount", value: "store.maxReplicas"},
		knob{kind: "ScaledObject", name: "store", path: "spec.triggers.0.metadata.queueName", template: "{{ .Values.queue.ANALYTICS_QUEUE_NAME | quote }}"},
		knob{kind: "HorizontalPodAutoscaler", name: "store", path: "spec.minReplicas", value: "store.minReplicas"},
		knob{kind: "HorizontalPodAutoscaler", name: "store", path: "spec.maxReplicas", value: "store.maxReplicas"},
		knob{kind: "CronJob", name: "backup", path: "spec.schedule", value: "backup.schedule"},
		knob{kind: "PersistentVolumeClaim", name: "backup", path: "spec.resources.requests.storage", value: "backup.storage"},
	)
}

// variant is a choice of components, and what in the chart's values makes it.
type variant struct {
	condition  string
	components []string
}

// variants of which the first whose condition holds says what an object is like. Where two that change the
// same object can hold at once, the first has all that the other has.
var variants = []variant{
	{"and .Values.backup.enabled .Values.backup.s3", []string{"backup", "backup-s3"}},
	{".Values.backup.enabled", []string{"backup"}},
	{".Values.keda.enabled", []string{"keda"}},
	{".Values.storeByCPU.enabled", []string{"store-by-cpu"}},
	{".Values.monitoring.enabled", []string{"monitoring"}},
	{".Values.tracing.enabled", []string{"tracing"}},
	{".Values.externalSecrets.enabled", []string{"external-secrets"}},
}

// switches are the values that choose variants.
var switches = []struct{ value, about string }{
	{"keda.enabled", "scale store by the queue's length; needs KEDA"},
	{"storeByCPU.enabled", "scale store by its processor time, where there is no KEDA"},
	{"monitoring.enabled", "PodMonitor and PrometheusRule; needs the Prometheus operator"},
	{"tracing.enabled", "let traces out to the monitoring; settings.OTEL_EXPORTER_OTLP_ENDPOINT says where they go"},
	{"externalSecrets.enabled", "take the Secrets from a ClusterSecretStore named secrets; needs the External Secrets operator"},
	{"backup.enabled", "copy the database every night to a volume"},
	{"backup.s3", "and from there to an object store"},
}

// chart is being made.
type chart struct {
	values *kyaml.RNode
	tokens map[string]string // what takes their place
}

// newChart makes the Helm chart of the manifests: the files by their paths.
func newChart(root string, changed map[string][]byte) (map[string][]byte, error) {
	base, err := buildWith(root, changed, nil)
	if err != nil {
		return nil, err
	}
	c := &chart{values: kyaml.NewMapRNode(nil), tokens: map[string]string{}}
	if err := c.choices(base); err != nil {
		return nil, err
	}
	cases, order, err := variantsOf(root, changed, base)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, id := range order {
		if strings.HasPrefix(id, "Namespace/") {
			continue // it is the release's own
		}
		name, text, err := c.template(id, cases[id])
		if err != nil {
			return nil, err
		}
		files[name] = append(files[name], text...)
	}
	return files, c.finish(files)
}

// choices are the values that no knob has.
func (c *chart) choices(base objects) error {
	tag := base.named("Deployment", "collector").text(service + "image")
	_, tag, _ = strings.Cut(tag, ":")
	err := errors.Join(
		c.set("image.prefix", "maidian/", "what stands before collector, consumer and query, such as registry.example.com/maidian/"),
		c.set("image.tag", tag, "the version"),
	)
	for _, s := range switches {
		err = errors.Join(err, c.set(s.value, false, s.about))
	}
	return err
}

// shape is an object as it is under a condition, "" for otherwise.
type shape struct {
	condition string
	object    object
}

// variantsOf are the shapes of each object, and the objects' order.
func variantsOf(root string, changed map[string][]byte, base objects) (map[string][]shape, []string, error) {
	shapes := map[string][]shape{}
	var order []string
	add := func(o object, condition string) {
		if _, known := shapes[o.id()]; !known {
			order = append(order, o.id())
		}
		shapes[o.id()] = append(shapes[o.id()], shape{condition, o})
	}
	plain := map[string]object{}
	for _, o := range base {
		plain[o.id()] = o
	}
	for _, v := range variants {
		with, err := buildWith(root, changed, nil, v.components...)
		if err != nil {
			return nil, nil, err
		}
		for _, o := range with {
			if !reflect.DeepEqual(o, plain[o.id()]) {
				add(o, v.condition)
			}
		}
	}
	for _, o := range base {
		add(o, "")
	}
	return shapes, order, nil
}

// template is an object's part of a template, in the file of what it belongs to.
func (c *chart) template(id string, shapes []shape) (file string, text []byte, err error) {
	first := shapes[0].object
	out := new(bytes.Buffer)
	word := "if"
	for _, s := range shapes {
		body, err := c.body(s.object)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", id, err)
		}
		switch {
		case s.condition != "":
			fmt.Fprintf(out, "{{- %s %s }}\n---\n%s", word, s.condition, body)
			word = "else if"
		case word == "if":
			fmt.Fprintf(out, "---\n%s", body)
		default:
			fmt.Fprintf(out, "{{- else }}\n---\n%s", body)
		}
	}
	if shapes[0].condition != "" {
		out.WriteString("{{- end }}\n")
	}
	return fmt.Sprintf("%s/templates/%s.yaml", chartDir, fileOf(first)), out.Bytes(), nil
}

func fileOf(o object) string {
	switch kind := o.kind(); {
	case kind == "NetworkPolicy":
		return "network"
	case kind == "ConfigMap":
		return "settings"
	case strings.HasPrefix(o.text("apiVersion"), "monitoring."):
		return "monitoring"
	case strings.HasPrefix(o.text("apiVersion"), "external-secrets."):
		return "secrets"
	case kind == "TriggerAuthentication":
		return "store"
	}
	return o.name()
}

// body is an object's YAML with templates where there are knobs.
func (c *chart) body(o object) ([]byte, error) {
	o = clone(o)
	if err := c.turn(o); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(o)
	if err != nil {
		return nil, err
	}
	// What Prometheus' own templates say is not for Helm.
	escaped := regexp.MustCompile(`\{\{[^}]*\}\}`).ReplaceAllStringFunc(string(text), func(t string) string { return "{{ `" + t + "` }}" })
	return []byte(c.resolve(escaped)), nil
}

// turn puts tokens at the knobs of an object, and at what the chart works out by itself.
func (c *chart) turn(o object) error {
	for _, k := range knobs() {
		if k.kind != o.kind() || k.name != plainName(o.name()) || o.at(k.path) == nil {
			continue
		}
		if strings.HasSuffix(k.path, "env") {
			if err := c.env(o, k); err != nil {
				return err
			}
			continue
		}
		if err := c.knob(o, k); err != nil {
			return err
		}
	}
	c.walk(map[string]any(o))
	return nil
}

func (c *chart) knob(o object, k knob) error {
	was := o.at(k.path)
	if k.value != "" {
		if err := c.set(k.value, was, ""); err != nil {
			return err
		}
	}
	template := k.template
	if template == "" {
		template = "{{ .Values.%s }}"
		if _, text := was.(string); text {
			template = "{{ .Values.%s | quote }}"
		}
	}
	if k.value != "" {
		template = fmt.Sprintf(template, k.value)
	}
	return o.put(k.path, c.token(template))
}

// env leaves what the service cannot do without, gives the memory limit its due, and adds
// the user's variables.
func (c *chart) env(o object, k knob) error {
	if err := c.set(k.value, map[string]any{}, ""); err != nil {
		return err
	}
	vars, _ := o.at(k.path).([]any)
	for _, v := range vars {
		one := v.(map[string]any)
		name, _ := one["name"].(string)
		switch {
		case name == "GOMEMLIMIT":
			one["value"] = c.token(fmt.Sprintf(goMemory, o.name()))
		case name != "CONSUMER_ROLES" && name != "MAIDIAN_SECRET_DIR" && !strings.HasSuffix(name, "_FILE"): // what the manifests say elsewhere too
			if err := c.set(k.value+"."+name, one["value"], ""); err != nil {
				return err
			}
		}
	}
	vars = slices.DeleteFunc(vars, func(v any) bool {
		name, _ := v.(map[string]any)["name"].(string)
		return c.has(k.value + "." + name)
	})
	more := fmt.Sprintf(`{{- range $name, $value := .Values.%s }}NEWLINE- {name: {{ $name }}, value: {{ $value | quote }}}{{ end }}`, k.value)
	return o.put(k.path, append(vars, c.token(more)))
}

// walk replaces namespaces and the names of ConfigMaps, wherever they stand.
func (c *chart) walk(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			text, isText := inner.(string)
			switch {
			case key == "namespace" && text == "maidian":
				v[key] = c.token("{{ .Release.Namespace }}")
			case key == "name" && isText && hashed.MatchString(text):
				v[key] = c.token(configMap(text))
			default:
				c.walk(inner)
			}
		}
	case []any:
		for _, inner := range v {
			c.walk(inner)
		}
	}
}

// hashed are the names that kustomize gives ConfigMaps by what is in them.
var hashed = regexp.MustCompile(`^(maidian|maidian-queue)-[a-z0-9]{10}$`)

// plainName is a name without that.
func plainName(name string) string {
	if parts := hashed.FindStringSubmatch(name); parts != nil {
		return parts[1]
	}
	return name
}

func configMap(name string) string {
	values := map[string]string{"maidian": "settings", "maidian-queue": "queue"}
	return fmt.Sprintf("%s-{{ .Values.%s | toJson | sha256sum | trunc 10 }}", plainName(name), values[plainName(name)])
}

// token stands in the YAML for a template, which YAML itself could not hold.
func (c *chart) token(template string) string {
	token := fmt.Sprintf("TOKEN%03dX", len(c.tokens))
	c.tokens[token] = template
	return token
}

var tokenLine = regexp.MustCompile(`(?m)^( *)(- )?([^\n]*?)(TOKEN\d{3}X)$`)

// resolve puts the templates in the tokens' places. Those of blocks and lists know how far they are indented.
func (c *chart) resolve(text string) string {
	return tokenLine.ReplaceAllStringFunc(text, func(line string) string {
		parts := tokenLine.FindStringSubmatch(line)
		indent, template := len(parts[1])+len(parts[2]), c.tokens[parts[4]]
		if newLine := "\n" + strings.Repeat(" ", len(parts[1])); strings.Contains(template, "NEWLINE") {
			return parts[1] + strings.ReplaceAll(template, "NEWLINE", newLine)
		}
		template = strings.ReplaceAll(template, "INDENT", fmt.Sprint(indent+2))
		if strings.Contains(template, "nindent") {
			return parts[1] + parts[2] + strings.TrimRight(parts[3], " ") + template
		}
		return parts[1] + parts[2] + parts[3] + template
	})
}

// set gives a value its default, unless it has one.
func (c *chart) set(path string, value any, about string) error {
	if c.has(path) {
		return nil
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		return err
	}
	node, err := kyaml.Parse(string(text))
	if err != nil {
		return err
	}
	all := strings.Split(path, ".")
	last := len(all) - 1
	parent, err := c.values.Pipe(kyaml.LookupCreate(kyaml.MappingNode, all[:last]...))
	if err != nil {
		return err
	}
	parent.YNode().Style = 0
	field := kyaml.NewStringRNode(all[last])
	field.YNode().HeadComment = about
	parent.YNode().Content = append(parent.YNode().Content, field.YNode(), node.YNode())
	return nil
}

func (c *chart) has(path string) bool {
	found, err := c.values.Pipe(kyaml.Lookup(strings.Split(path, ".")...))
	return err == nil && found != nil
}

// finish adds what a chart has besides templates.
func (c *chart) finish(files map[string][]byte) error {
	values, err := c.values.String()
	if err != nil {
		return err
	}
	var tree any
	if err := yaml.Unmarshal([]byte(values), &tree); err != nil {
		return err
	}
	whole := schemaOf("", tree)
	whole["not"] = both("keda", "storeByCPU") // they would pull at each other
	schema, err := json.MarshalIndent(whole, "", "  ")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"values.yaml":         "# What may be set. The defaults are deploy/kubernetes/base, of which \"make kubernetes\" makes this chart.\n" + values,
		"values.schema.json":  string(schema) + "\n",
		"Chart.yaml":          chartYAML,
		"templates/NOTES.txt": notes,
	} {
		files[chartDir+"/"+name] = []byte(text)
	}
	return nil
}

// schemaOf refuses what nobody reads: a misspelt value is an error.
func schemaOf(path string, value any) map[string]any {
	switch v := value.(type) {
	case map[string]any:
		properties := map[string]any{}
		for key, inner := range v {
			properties[key] = schemaOf(strings.TrimPrefix(path+"."+key, "."), inner)
		}
		free := regexp.MustCompile(`(^settings|^queue|\.env|\.annotations|\.requests|\.limits)$`).MatchString(path)
		return map[string]any{"type": "object", "properties": properties, "additionalProperties": free}
	case bool:
		return map[string]any{"type": "boolean"}
	case float64, int64:
		return map[string]any{"type": "integer", "minimum": 1}
	}
	if strings.HasSuffix(path, "limits.memory") {
		return map[string]any{"type": "string", "pattern": "^[0-9]+Mi$"} // GOMEMLIMIT is nine tenths of it
	}
	return map[string]any{"type": "string"}
}

// both is the schema of values that enable the one and the other.
func both(names ...string) map[string]any {
	properties := map[string]any{}
	for _, name := range names {
		properties[name] = map[string]any{"properties": map[string]any{"enabled": map[string]any{"const": true}}}
	}
	return map[string]any{"properties": properties}
}

func clone(o object) object {
	text, err := yaml.Marshal(o)
	if err != nil {
		panic(err) // it was read from YAML
	}
	var again object
	if err := yaml.Unmarshal(text, &again); err != nil {
		panic(err)
	}
	return again
}

const chartYAML = `# Made of deploy/kubernetes by "make kubernetes", all but its users' values: change it there.
apiVersion: v2
name: maidian
description: Maidian's collector, consumers and query service. RabbitMQ and MongoDB are not part of it.
type: application
version: 1.0.0
appVersion: "1.0.0"
kubeVersion: ">=1.30.0-0"
`

const notes = `Maidian's services start once these Secrets are there, in the namespace {{ .Release.Namespace }}:

  maidian-collector   mongodb-uri, rabbitmq-url
  maidian-store       mongodb-uri, rabbitmq-url, rabbitmq-management-url
  maidian-alert       mongodb-uri, rabbitmq-url, rabbitmq-management-url, secret-key
  maidian-forward     mongodb-uri, secret-key
  maidian-query       mongodb-uri, secret-key, admin-key

Pod Security: kubectl label namespace {{ .Release.Namespace }} pod-security.kubernetes.io/enforce=restricted
Collector: https://{{ .Values.collector.ingress.host }}   Query: https://{{ .Values.query.ingress.host }}
`
