package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/services/collector"
	"github.com/maidian/maidian/services/consumer"
	"github.com/maidian/maidian/services/query"
)

// rules are what Maidian's manifests keep besides what Kubernetes asks, by what they are about.
var rules = map[string]func(all objects) []string{
	"pod security": podSecurity,
	"selectors":    selectors,
	"scaling":      scaling,
	"ports":        ports,
	"memory":       memory,
	"secrets":      secrets,
	"network":      network,
}

func TestManifestsKeepTheHouseRules(t *testing.T) {
	for name, made := range deployments(t) {
		if name == "servers/sharded" {
			continue
		}
		for about, rule := range rules {
			for _, wrong := range rule(made) {
				t.Errorf("%s: %s: %s", name, about, wrong)
			}
		}
	}
}

// podSecurity asks the admission plugin's own checks whether every pod of ours is "restricted", and
// adds what it leaves out.
func podSecurity(all objects) (wrong []string) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		return []string{err.Error()}
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.MajorMinorVersion(1, 30)}
	for _, o := range all {
		template := podTemplate(o)
		if template == nil {
			continue
		}
		var pod corev1.PodTemplateSpec
		text, err := json.Marshal(template)
		if err == nil {
			err = json.Unmarshal(text, &pod)
		}
		if err != nil {
			return append(wrong, o.id()+": "+err.Error())
		}
		for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				wrong = append(wrong, fmt.Sprintf("%s: %s: %s", o.id(), result.ForbiddenReason, result.ForbiddenDetail))
			}
		}
		wrong = append(wrong, beyondRestricted(o.id(), &pod.Spec)...)
	}
	return wrong
}

func beyondRestricted(id string, pod *corev1.PodSpec) (wrong []string) {
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		wrong = append(wrong, id+": a token of its service account is mounted")
	}
	if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
		wrong = append(wrong, id+": service links are not off")
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			wrong = append(wrong, fmt.Sprintf("%s: the root of %s can be written", id, c.Name))
		}
	}
	return wrong
}

// selectors say for which selector there is no pod.
func selectors(all objects) (wrong []string) {
	for path, kinds := range map[string][]string{
		"spec.selector":    {"Service", "PodDisruptionBudget", "Deployment", "StatefulSet", "PodMonitor"},
		"spec.podSelector": {"NetworkPolicy"},
	} {
		for _, o := range all.of(kinds...) {
			raw, _ := o.at(path).(map[string]any)
			if o.kind() == "Service" {
				raw = map[string]any{"matchLabels": raw}
			}
			selected, err := matching(all, raw)
			if err != nil || len(selected) == 0 && !operated(all, o) {
				wrong = append(wrong, fmt.Sprintf("%s selects no pod (%v)", o.id(), err))
			}
		}
	}
	for _, d := range all.of("Deployment") {
		if all.named("PodDisruptionBudget", d.name()) == nil {
			wrong = append(wrong, d.id()+" has no PodDisruptionBudget")
		}
	}
	return wrong
}

// operated tells whether a server's pods are made by its operator, and so not here.
func operated(all objects, o object) bool {
	return len(all.of("RabbitmqCluster")) > 0 && o.text("metadata.namespace") == "maidian-data"
}

func matching(all objects, selector map[string]any) (found objects, err error) {
	text, err := json.Marshal(selector)
	if err != nil {
		return nil, err
	}
	var s metav1.LabelSelector
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	match, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		if template := podTemplate(o); template != nil && match.Matches(labelsOf(template)) {
			found = append(found, o)
		}
	}
	return found, nil
}

func labelsOf(template map[string]any) labels.Set {
	set := labels.Set{}
	raw, _ := at(template, "metadata.labels").(map[string]any)
	for key, value := range raw {
		set[key] = value.(string)
	}
	return set
}

// scaling: whoever scales a deployment scales one that is there, alone, and by the queue it takes from.
func scaling(all objects) (wrong []string) {
	scaled := map[string]string{}
	for _, o := range all.of("ScaledObject") {
		env, err := variables(all, containers(all.named("Deployment", "store"))[0])
		if asked := o.text("spec.triggers.0.metadata.queueName"); err != nil || asked != env["ANALYTICS_QUEUE_NAME"] {
			wrong = append(wrong, fmt.Sprintf("%s looks at the queue %s, not at %s (%v)", o.id(), asked, env["ANALYTICS_QUEUE_NAME"], err))
		}
	}
	for _, o := range all.of("HorizontalPodAutoscaler", "ScaledObject") {
		name := o.text("spec.scaleTargetRef.name")
		target := all.named("Deployment", name)
		switch {
		case target == nil:
			wrong = append(wrong, o.id()+" scales nothing")
		case target.at("spec.replicas") != nil:
			wrong = append(wrong, target.id()+" has replicas of its own besides "+o.id())
		case scaled[name] != "":
			wrong = append(wrong, fmt.Sprintf("%s is scaled by %s and %s", target.id(), scaled[name], o.id()))
		}
		scaled[name] = o.id()
	}
	return wrong
}

// ports are those that the services listen on, and those that are named exist.
func ports(all objects) (wrong []string) {
	listen := map[string]string{}
	for _, c := range configs() {
		listen["ops"] = c.Process().OpsListen
		switch c := c.(type) {
		case *collector.Config:
			listen["collector"] = c.Listen
		case *query.Config:
			listen["query"] = c.Listen
		}
	}
	for _, d := range all.of("Deployment") {
		got := map[string]string{}
		list, _ := d.at(service + "ports").([]any)
		for _, p := range list {
			got[at(p, "name").(string)] = fmt.Sprintf(":%v", at(p, "containerPort"))
		}
		want := map[string]string{"ops": listen["ops"]}
		if listen[d.name()] != "" {
			want["http"] = listen[d.name()]
		}
		if !maps.Equal(got, want) {
			wrong = append(wrong, fmt.Sprintf("%s has the ports %v and listens on %v", d.id(), got, want))
		}
	}
	for _, i := range all.of("Ingress") {
		backend := "spec.rules.0.http.paths.0.backend.service."
		if s := all.named("Service", i.text(backend+"name")); s == nil || s.text("spec.ports.0.name") != i.text(backend+"port.name") {
			wrong = append(wrong, i.id()+" leads nowhere")
		}
	}
	return wrong
}

// configs are the services' settings when nothing is set.
func configs() []proc.Config {
	all := []proc.Config{new(collector.Config), new(consumer.Config), new(query.Config)}
	for _, c := range all {
		_ = proc.LoadFrom(c, func(string) (string, bool) { return "", false }) // what is not valid by default matters elsewhere
	}
	return all
}

// memory: Go is told of nine tenths of the limit, and what a service may hold by its settings fits in.
func memory(all objects) (wrong []string) {
	for _, d := range all.of("Deployment") {
		c := containers(d)[0]
		limit, err := mebibytes(at(c, "resources.limits.memory"))
		if err != nil {
			return append(wrong, d.id()+": "+err.Error())
		}
		env, err := variables(all, c)
		if err != nil {
			return append(wrong, d.id()+": "+err.Error())
		}
		if want := fmt.Sprintf("%dMiB", limit*9/10); env["GOMEMLIMIT"] != want {
			wrong = append(wrong, fmt.Sprintf("%s: GOMEMLIMIT is %s, and nine tenths of its memory are %s", d.id(), env["GOMEMLIMIT"], want))
		}
		if held := holds(d.name(), env) >> 20; held > limit*6/10 {
			wrong = append(wrong, fmt.Sprintf("%s may hold %d MiB by its settings, more than six tenths of its %d", d.id(), held, limit))
		}
	}
	return wrong
}

func mebibytes(value any) (int, error) {
	text, _ := value.(string)
	return strconv.Atoi(strings.TrimSuffix(text, "Mi"))
}

// holds are the most bytes that a service holds of what passes through it.
func holds(name string, env map[string]string) int {
	lookup := func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok && !strings.HasSuffix(name, "_FILE")
	}
	switch name {
	case "collector":
		var c collector.Config
		_ = proc.LoadFrom(&c, lookup)
		return c.WaitingBytes + c.BodyBytes
	case "store":
		var c consumer.Config
		_ = proc.LoadFrom(&c, lookup)
		return c.Workers * c.Prefetch * 1e6 // of messages: COLLECTOR_MESSAGE_BYTES
	case "query":
		var c query.Config
		_ = proc.LoadFrom(&c, lookup)
		return int(c.CacheBytes)
	}
	return 0
}

// secrets: each file that a variable names is in a volume that is mounted there, each pod has a Secret of
// its own, and a Secret that is here has the file.
func secrets(all objects) (wrong []string) {
	for _, d := range all.of("Deployment") {
		env, err := variables(all, containers(d)[0])
		if err != nil {
			return append(wrong, err.Error())
		}
		for name, file := range env {
			if !strings.HasSuffix(name, "_FILE") {
				continue
			}
			secret := secretAt(d, filepath.Dir(file))
			made := all.named("Secret", secret)
			switch {
			case !strings.HasPrefix(secret, "maidian-"+d.name()):
				wrong = append(wrong, fmt.Sprintf("%s: %s is in the Secret %q, which is not its own", d.id(), name, secret))
			case made == nil && all.named("ExternalSecret", secret) == nil && len(all.of("Secret", "ExternalSecret")) > 0:
				wrong = append(wrong, fmt.Sprintf("%s: there is no Secret %s", d.id(), secret))
			case made != nil && at(made.at("data"), filepath.Base(file)) == nil:
				wrong = append(wrong, fmt.Sprintf("%s: %s has no %s", d.id(), secret, filepath.Base(file)))
			}
		}
	}
	return wrong
}

// secretAt is the name of the Secret that is mounted at a path.
func secretAt(d object, path string) string {
	mounts, _ := d.at(service + "volumeMounts").([]any)
	volumes, _ := d.at("spec.template.spec.volumes").([]any)
	for _, m := range mounts {
		for _, v := range volumes {
			if at(m, "mountPath") == path && at(v, "name") == at(m, "name") {
				name, _ := at(v, "secret.secretName").(string)
				return name
			}
		}
	}
	return ""
}

// network: who may speak with whom is just what follows, by the policies' own words.
func network(all objects) (wrong []string) {
	if nobody := all.named("NetworkPolicy", "nobody"); nobody == nil || len(nobody.at("spec").(map[string]any)) != 2 {
		wrong = append(wrong, "nothing is denied by default")
	}
	var c consumer.Config
	_ = proc.LoadFrom(&c, func(string) (string, bool) { return "", false })
	want := map[string][]int{
		"collector": {27017, 5671, 5672}, "store": {27017, 5671, 5672, 15672}, "query": {27017},
		"forward": slices.Concat([]int{27017}, c.Outgoing.Ports),
		"alert":   slices.Concat([]int{27017, 5671, 5672, 15672}, c.Outgoing.Ports, c.Outgoing.MailPorts),
	}
	for name, ports := range want {
		slices.Sort(ports)
		if got := egress(all, name); !slices.Equal(got, ports) {
			wrong = append(wrong, fmt.Sprintf("%s may speak to the ports %v, and should to %v", name, got, ports))
		}
	}
	for _, o := range all.of("NetworkPolicy") {
		for _, block := range blocks(o) {
			for _, private := range []string{"10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "127.0.0.1", "fd00::1", "fe80::1"} {
				if block.contains(private) {
					wrong = append(wrong, fmt.Sprintf("%s lets %s be reached", o.id(), private))
				}
			}
		}
	}
	return wrong
}

// egress are the ports that a deployment's pods may speak to, but for those of names.
func egress(all objects, name string) (found []int) {
	for _, p := range all.of("NetworkPolicy") {
		selector, _ := p.at("spec.podSelector").(map[string]any)
		selected, err := matching(all, selector)
		if err != nil || p.name() == "names" || !slices.ContainsFunc(selected, func(o object) bool { return o.name() == name }) {
			continue
		}
		rules, _ := p.at("spec.egress").([]any)
		for _, rule := range rules {
			ports, _ := at(rule, "ports").([]any)
			if len(ports) == 0 {
				found = append(found, 0) // all of them
			}
			for _, port := range ports {
				number, _ := at(port, "port").(float64)
				found = append(found, int(number))
			}
		}
	}
	slices.Sort(found)
	return found
}

type ipBlock struct {
	in  *net.IPNet
	out []*net.IPNet
}

func (b ipBlock) contains(address string) bool {
	ip := net.ParseIP(address)
	return b.in.Contains(ip) && !slices.ContainsFunc(b.out, func(n *net.IPNet) bool { return n.Contains(ip) })
}

func blocks(policy object) (all []ipBlock) {
	rules, _ := policy.at("spec.egress").([]any)
	for _, rule := range rules {
		to, _ := at(rule, "to").([]any)
		for _, peer := range to {
			cidr, ok := at(peer, "ipBlock.cidr").(string)
			if !ok {
				continue
			}
			_, in, _ := net.ParseCIDR(cidr)
			block := ipBlock{in: in}
			except, _ := at(peer, "ipBlock.except").([]any)
			for _, e := range except {
				_, out, _ := net.ParseCIDR(e.(string))
				block.out = append(block.out, out)
			}
			all = append(all, block)
		}
	}
	return all
}

func TestBrokenManifestsBreakTheHouseRules(t *testing.T) {
	dev, production := deployments(t)["overlays/dev"].String(), deployments(t)["overlays/production"].String()
	for _, test := range []struct{ rule, from, was, becomes, want string }{
		{"pod security", production, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation != false"},
		{"pod security", production, "type: RuntimeDefault", "type: Unconfined", "seccompProfile"},
		{"pod security", production, "enableServiceLinks: false", "enableServiceLinks: true", "service links"},
		{"pod security", production, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "a token"},
		{"pod security", production, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can be written"},
		{"selectors", production, "  selector:\n    app.kubernetes.io/component: query\n", "  selector:\n    app.kubernetes.io/component: kwery\n", "Service/maidian/query selects no pod"},
		{"selectors", production, "kind: PodDisruptionBudget", "kind: Budget", "has no PodDisruptionBudget"},
		{"scaling", production, "    kind: Deployment\n    name: query\n", "    kind: Deployment\n    name: kwery\n", "scales nothing"},
		{"scaling", production, "    kind: Deployment\n    name: query\n", "    kind: Deployment\n    name: collector\n", "is scaled by"},
		{"scaling", production, "queueName: analytics_events", "queueName: events", "looks at the queue events"},
		{"scaling", production, "  revisionHistoryLimit: 5\n  selector:\n    matchLabels:\n      app.kubernetes.io/component: store\n", "  replicas: 3\n  selector:\n    matchLabels:\n      app.kubernetes.io/component: store\n", "has replicas of its own"},
		{"ports", production, "containerPort: 9090", "containerPort: 9091", "listens on"},
		{"ports", production, "name: collector\n            port:", "name: kollector\n            port:", "leads nowhere"},
		{"memory", production, "value: 921MiB", "value: 1024MiB", "nine tenths"},
		{"memory", production, `value: "2147483648"`, `value: "4147483648"`, "more than six tenths"},
		{"memory", production, "name: CONSUMER_PREFETCH", "name: CONSUMER_BATCH_BYTES", "more than six tenths"},
		{"secrets", production, "/etc/maidian/secrets/mongodb-uri", "/run/secrets/mongodb-uri", "not its own"},
		{"secrets", production, "name: maidian-query", "name: maidian-kwery", "there is no Secret"},
		{"secrets", dev, "  admin-key:", "  admin-kay:", "has no admin-key"},
		{"network", production, "name: nobody", "name: somebody", "nothing is denied"},
		{"network", production, "port: 5672", "port: 5673", "should to"},
		{"network", production, "- 169.254.0.0/16", "- 169.254.0.0/24", "lets 169.254.169.254 be reached"},
	} {
		broken, err := parse([]byte(strings.ReplaceAll(test.from, test.was, test.becomes)))
		if err != nil {
			t.Fatalf("%s: %v", test.becomes, err)
		}
		if got := strings.Join(rules[test.rule](broken), "\n"); !strings.Contains(got, test.want) {
			t.Errorf("%s for %s: %q does not say %q", test.becomes, test.was, got, test.want)
		}
	}
}
