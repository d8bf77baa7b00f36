package environment

import (
	"fmt"
	"maps"
	"testing"
	"time"
)

// deployment is one in which nothing is wrong, with some variables of one
// container changed; "-" takes one away.
func deployment(name string, changes map[string]string) []Container {
	shared := map[string]string{
		"RABBITMQ_URL": Secret, "MONGODB_URI_FILE": "/run/secrets/mongodb-uri", "MONGODB_DATABASE": "maidian",
		"ANALYTICS_QUEUE_MAX_MESSAGES": "1000", "GOMEMLIMIT": "400MiB",
	}
	containers := []Container{
		{Name: "front", Service: "collector", Env: map[string]string{"COLLECTOR_RATE": "20"}},
		{Name: "store", Service: "consumer", Env: map[string]string{"CONSUMER_ROLES": "store"}},
		{Name: "rest", Service: "consumer", Env: map[string]string{"CONSUMER_ROLES": "alert,forward", "MAIDIAN_SECRET_KEY_FILE": "/run/secrets/key", "CREDENTIAL_HOOK": Secret}},
		{Name: "reports", Service: "query", Env: map[string]string{"QUERY_ADMIN_KEY": Secret, "MAIDIAN_SECRET_KEY": Secret, "ANALYTICS_QUEUE_MAX_MESSAGES": "-", "RABBITMQ_URL": "-"}},
	}
	for i, c := range containers {
		env := maps.Clone(shared)
		maps.Copy(env, c.Env)
		if c.Name == name {
			maps.Copy(env, changes)
		}
		maps.DeleteFunc(env, func(_, value string) bool { return value == "-" })
		containers[i].Env, containers[i].Grace = env, 30*time.Second
	}
	return containers
}

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		container string
		changes   map[string]string
		want      string
	}{
		"nothing is wrong":               {"", nil, "<nil>"},
		"an empty value is the default":  {"front", map[string]string{"COLLECTOR_RATE": ""}, "<nil>"},
		"a host in place of the address": {"front", map[string]string{"RABBITMQ_URL": "-", "RABBITMQ_HOST": "rabbit", "RABBITMQ_USERNAME": "m", "RABBITMQ_PASSWORD_FILE": "/p"}, "<nil>"},
		"a misspelt name":                {"front", map[string]string{"COLECTOR_RATE": "3"}, "front: COLECTOR_RATE is set, and the collector does not read it"},
		"another service's variable":     {"reports", map[string]string{"RABBITMQ_URL": Secret}, "reports: RABBITMQ_URL is set, and the query does not read it"},
		"a value that cannot be":         {"store", map[string]string{"CONSUMER_WORKERS": "many"}, `store: CONSUMER_WORKERS must be a whole number, got "many"`},
		"a value that is not allowed":    {"store", map[string]string{"CONSUMER_WORKERS": "0"}, `store: CONSUMER_WORKERS must be 1 or more, got 0`},
		"forwarding needs no queue":      {"rest", map[string]string{"CONSUMER_ROLES": "forward", "RABBITMQ_URL": "-", "ANALYTICS_QUEUE_MAX_MESSAGES": "-"}, "<nil>"},
		"no address":                     {"store", map[string]string{"RABBITMQ_URL": "-"}, "store: RABBITMQ_URL is not set, nor RABBITMQ_URL_FILE, and its default is for a single machine"},
		"a host and no user":             {"store", map[string]string{"RABBITMQ_URL": "-", "RABBITMQ_HOST": "rabbit", "RABBITMQ_USERNAME": "m"}, "store: RABBITMQ_PASSWORD is not set, nor RABBITMQ_PASSWORD_FILE, and its default is for a single machine"},
		"no key":                         {"rest", map[string]string{"MAIDIAN_SECRET_KEY_FILE": ""}, "rest: MAIDIAN_SECRET_KEY is not set, nor MAIDIAN_SECRET_KEY_FILE, and its default is for a single machine"},
		"no time to drain":               {"rest", map[string]string{"DRAIN": "30s"}, "rest: it is killed 30s after it was told to stop, and may need DRAIN, 30s"},
		"queues that differ":             {"store", map[string]string{"ANALYTICS_QUEUE_MAX_MESSAGES": "-"}, `ANALYTICS_QUEUE_MAX_MESSAGES is "1000" for front and "" for store, and must be the same everywhere`},
		"databases that differ":          {"reports", map[string]string{"MONGODB_DATABASE": "other"}, `MONGODB_DATABASE is "maidian" for front and "other" for reports, and must be the same everywhere`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(Check(deployment(test.container, test.changes)...)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	if err := Check(Container{Name: "x", Service: "shop"}); err == nil {
		t.Error("an unknown service was let through")
	}
}
