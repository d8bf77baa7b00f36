// Package environment holds what a deployment sets for the services to what the
// services read: no variable that nobody reads, none missing that a service
// cannot do without, no value that would stop its start.
package environment

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/services/collector"
	"github.com/maidian/maidian/services/consumer"
	"github.com/maidian/maidian/services/query"
)

// Secret stands for a value that is not in the manifest but comes from a secret
// when the container starts. It is set, and nothing more can be said of it.
const Secret = "(from a secret)"

// Container is a container of a deployment that runs one of the services.
type Container struct {
	Name    string            // of the container, for people
	Service string            // collector, consumer or query
	Env     map[string]string // its variables
	Grace   time.Duration     // how long it has to stop before it is killed; 0: not checked
}

// Check says everything that is wrong with a deployment's containers, one line
// for each variable.
func Check(containers ...Container) (err error) {
	for _, c := range containers {
		for _, wrong := range c.check() {
			err = errors.Join(err, fmt.Errorf("%s: %w", c.Name, wrong))
		}
	}
	return errors.Join(err, agree(containers))
}

func config(service string) (proc.Config, error) {
	switch service {
	case "collector":
		return new(collector.Config), nil
	case "consumer":
		return new(consumer.Config), nil
	case "query":
		return new(query.Config), nil
	}
	return nil, fmt.Errorf("%q is none of the services collector, consumer and query", service)
}

func (c Container) check() (wrong []error) {
	cfg, err := config(c.Service)
	if err != nil {
		return []error{err}
	}
	for _, name := range c.unknown(cfg) {
		wrong = append(wrong, fmt.Errorf("%s is set, and the %s does not read it", name, c.Service))
	}
	for _, name := range c.missing() {
		wrong = append(wrong, fmt.Errorf("%s is not set, nor %[1]s_FILE, and its default is for a single machine", name))
	}
	if err := proc.LoadFrom(cfg, c.value); err != nil {
		for line := range strings.Lines(err.Error()) {
			wrong = append(wrong, errors.New(strings.TrimSuffix(line, "\n")))
		}
	}
	if drain := cfg.Process().Drain; c.Grace > 0 && c.Grace <= drain {
		wrong = append(wrong, fmt.Errorf("it is killed %s after it was told to stop, and may need DRAIN, %s", c.Grace, drain))
	}
	return wrong
}

// value is what stands in the manifest itself.
func (c Container) value(name string) (string, bool) {
	value, set := c.Env[name]
	if value == Secret || strings.HasSuffix(name, "_FILE") {
		return "", false
	}
	return value, set
}

func (c Container) unknown(cfg proc.Config) []string {
	known := append(proc.Names(cfg), "GOMEMLIMIT", "GOMAXPROCS", "GOGC", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR") // Go's own
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if !slices.Contains(known, name) && !strings.HasPrefix(name, secret.EnvPrefix) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// missing are the variables whose defaults are right for one machine only, or
// without which part of the service is closed.
func (c Container) missing() []string {
	required := []string{"MONGODB_URI"}
	switch {
	case !c.queues():
	case c.set("RABBITMQ_HOST"):
		required = append(required, "RABBITMQ_USERNAME", "RABBITMQ_PASSWORD") // the defaults are let in from the broker's own machine alone
	default:
		required = append(required, "RABBITMQ_URL")
	}
	if c.Service == "query" {
		required = append(required, "QUERY_ADMIN_KEY", "MAIDIAN_SECRET_KEY")
	}
	if c.does("alert") || c.does("forward") {
		required = append(required, "MAIDIAN_SECRET_KEY")
	}
	return slices.DeleteFunc(required, c.set)
}

// queues is whether the container speaks with the broker.
func (c Container) queues() bool {
	return c.Service == "collector" || c.does("store") || c.does("alert") // alerts are about the queue too
}

// does is whether a consumer has the role; without any given it has all.
func (c Container) does(role string) bool {
	roles := c.Env["CONSUMER_ROLES"]
	return c.Service == "consumer" && (roles == "" || slices.Contains(strings.Split(roles, ","), role))
}

func (c Container) set(name string) bool { return cmp.Or(c.Env[name], c.Env[name+"_FILE"]) != "" }

// agree says which variables differ between containers although they describe
// what all of them share.
func agree(containers []Container) (err error) {
	for _, name := range []string{
		"ANALYTICS_QUEUE_NAME", "ANALYTICS_QUEUE_MAX_MESSAGES", "ANALYTICS_QUEUE_MAX_BYTES", "ANALYTICS_QUEUE_DELIVERY_LIMIT",
		"RABBITMQ_VHOST", "MONGODB_DATABASE",
	} {
		var first *Container
		for i, c := range containers {
			if !c.queues() && !strings.HasPrefix(name, "MONGODB_") {
				continue
			}
			if first == nil {
				first = &containers[i]
			}
			if a, b := first.Env[name], c.Env[name]; a != b {
				err = errors.Join(err, fmt.Errorf("%s is %q for %s and %q for %s, and must be the same everywhere", name, a, first.Name, b, c.Name))
			}
		}
	}
	return err
}
