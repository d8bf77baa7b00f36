package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/scripts/deploy/environment"
)

// services are the containers that run Maidian's services, with all that is set for them.
func services(all objects) (found []environment.Container, err error) {
	for _, o := range all {
		for _, c := range containers(o) {
			name := at(c, "image").(string)
			name = name[strings.LastIndex(name, "/")+1:]
			name, _, _ = strings.Cut(name, ":")
			if at(c, "name") != "service" {
				continue
			}
			env, err := variables(all, c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.id(), err)
			}
			grace, _ := at(podTemplate(o), "spec.terminationGracePeriodSeconds").(float64)
			sleep, _ := at(c, "lifecycle.preStop.sleep.seconds").(float64)
			found = append(found, environment.Container{
				Name: o.name(), Service: name, Env: env,
				// What of the grace period is left when the service is told to stop, and has closed its connections.
				Grace: time.Duration(grace-sleep)*time.Second - closing,
			})
		}
	}
	return found, nil
}

// closing is how long a service may take to close its connections, after its drain.
const closing = 5 * time.Second

func variables(all objects, container map[string]any) (map[string]string, error) {
	env := map[string]string{}
	from, _ := container["envFrom"].([]any)
	for _, f := range from {
		name, _ := at(f, "configMapRef.name").(string)
		m := all.named("ConfigMap", name)
		if m == nil {
			return nil, fmt.Errorf("there is no ConfigMap %q", name)
		}
		data, _ := m.at("data").(map[string]any)
		for key, value := range data {
			env[key] = value.(string)
		}
	}
	vars, _ := container["env"].([]any)
	for _, v := range vars {
		value, given := at(v, "value").(string)
		if !given {
			value = environment.Secret
		}
		env[at(v, "name").(string)] = value
	}
	return env, nil
}

// environmentErrors say which variables no service reads, which are missing, and which values would stop a start.
func environmentErrors(all objects) (wrong []string) {
	found, err := services(all)
	if err != nil {
		return []string{err.Error()}
	}
	if len(found) != len(roles) {
		wrong = append(wrong, fmt.Sprintf("%d containers run the services, not %d", len(found), len(roles)))
	}
	if err := environment.Check(found...); err != nil {
		wrong = append(wrong, strings.Split(err.Error(), "\n")...)
	}
	return wrong
}

func TestVariablesAreWhatTheServicesRead(t *testing.T) {
	for name, made := range deployments(t) {
		if name == "servers/sharded" {
			continue
		}
		for _, wrong := range environmentErrors(made) {
			t.Errorf("%s: %s", name, wrong)
		}
	}
}

func TestWrongVariablesAreFound(t *testing.T) {
	base := deployments(t)["base"].String()
	for change, want := range map[[2]string]string{
		{"QUERY_CACHE_BYTES", "QUERY_CASH_BYTES"}:                                  "query: QUERY_CASH_BYTES is set, and the query does not read it",
		{"MONGODB_URI_FILE", "MONGODB_URL_FILE"}:                                   "query: MONGODB_URI is not set",
		{"LOG_LEVEL: info", "LOG_LEVEL: loud"}:                                     "store: LOG_LEVEL must be debug, info, warn or error",
		{"DRAIN: 20s", "DRAIN: 35s"}:                                               "may need DRAIN, 35s",
		{"terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 30"}: "may need DRAIN, 20s",
		{"seconds: 5", "seconds: 25"}:                                              "may need DRAIN, 20s",
		{"kind: ConfigMap", "kind: Secret"}:                                        "there is no ConfigMap",
	} {
		broken, err := parse([]byte(strings.ReplaceAll(base, change[0], change[1])))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(environmentErrors(broken), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s for %s: %q does not say %q", change[1], change[0], got, want)
		}
	}
}
