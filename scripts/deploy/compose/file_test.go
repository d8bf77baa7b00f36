// Package compose holds deploy/compose.yaml to what it promises: by reading it as
// docker compose does, and by running the services as it says.
package compose

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"

	"github.com/maidian/maidian/pkg/testenv"
	"github.com/maidian/maidian/scripts/deploy/environment"
)

func deploy(t *testing.T, name string) string {
	return filepath.Join(testenv.Root(t), "deploy", name)
}

// load reads the file with these settings, in place of those of a .env.
func load(t *testing.T, settings ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{deploy(t, "compose.yaml")}, cli.WithEnv(settings))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// secrets makes those of a deployment.
func secrets(t *testing.T) (folder string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "secrets")
	makeSecrets(t, folder)
	return folder
}

func makeSecrets(t *testing.T, folder string) {
	t.Helper()
	if out, err := exec.Command(filepath.Join(testenv.Root(t), "scripts/secrets"), folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// program is which of the services a container runs; "" for servers of others.
func program(s types.ServiceConfig) string {
	if s.Build == nil {
		return ""
	}
	return *s.Build.Args["SERVICE"]
}

// variables are a container's, with the content of secrets where files are named.
func variables(t *testing.T, project *types.Project, s types.ServiceConfig) map[string]string {
	t.Helper()
	env := map[string]string{}
	for name, value := range s.Environment {
		env[name] = *value
		for _, secret := range s.Secrets {
			if *value == secret.Target {
				content, err := os.ReadFile(project.Secrets[secret.Source].File)
				if err != nil {
					t.Fatal(err)
				}
				delete(env, name)
				env[strings.TrimSuffix(name, "_FILE")] = strings.TrimSpace(string(content))
			}
		}
	}
	return env
}

func TestServicesReadWhatIsSet(t *testing.T) {
	project := load(t, "SECRETS="+secrets(t))
	var containers []environment.Container
	for name, s := range project.Services {
		if service := program(s); service != "" {
			containers = append(containers, environment.Container{
				Name: name, Service: service, Env: variables(t, project, s), Grace: time.Duration(*s.StopGracePeriod),
			})
		}
	}
	if len(containers) != 5 {
		t.Errorf("got %d containers of ours, want 5", len(containers))
	}
	if err := environment.Check(containers...); err != nil {
		t.Error(err)
	}
}

func TestContainers(t *testing.T) {
	project := load(t)
	for name, s := range project.Services {
		for _, wrong := range []error{pinned(s), bounded(s), healthy(s), confined(s), near(s), mounted(project, s), inTurn(project, s)} {
			if wrong != nil {
				t.Errorf("%s: %v", name, wrong)
			}
		}
	}
}

func pinned(s types.ServiceConfig) error {
	_, tag, _ := strings.Cut(s.Image, ":")
	if tag == "" || tag == "latest" {
		return fmt.Errorf("the image %q must name a version", s.Image)
	}
	return nil
}

func bounded(s types.ServiceConfig) error {
	if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes == 0 || s.Deploy.Resources.Limits.NanoCPUs == 0 {
		return errors.New("it may take all of the machine's memory and processors")
	}
	if s.Logging == nil || s.Logging.Options["max-size"] == "" {
		return errors.New("its log may fill the disk")
	}
	if program(s) == "" {
		return nil
	}
	var soft int64 // in MiB
	if _, err := fmt.Sscanf(*s.Environment["GOMEMLIMIT"], "%dMiB", &soft); err != nil {
		return fmt.Errorf("GOMEMLIMIT: %w", err)
	}
	if hard := int64(s.Deploy.Resources.Limits.MemoryBytes) >> 20; soft < hard*85/100 || soft > hard*95/100 {
		return fmt.Errorf("GOMEMLIMIT must be about nine tenths of %d MiB, is %d", hard, soft)
	}
	return nil
}

// once is whether the container does its work and ends.
func once(s types.ServiceConfig) bool { return s.Restart == "no" }

func healthy(s types.ServiceConfig) error {
	switch {
	case once(s):
		return nil
	case s.Restart != "unless-stopped":
		return fmt.Errorf("restart is %q", s.Restart)
	case s.HealthCheck == nil:
		return errors.New("nothing tells whether it is healthy")
	}
	return nil
}

func confined(s types.ServiceConfig) error {
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		return errors.New("it may gain privileges")
	}
	if program(s) != "" && (!s.ReadOnly || s.User != "65532:65532" || !slices.Contains(s.CapDrop, "ALL")) {
		return errors.New("it must have a read-only root, the image's user and no capabilities")
	}
	return nil
}

// near: nobody but this machine reaches it, until somebody says otherwise.
func near(s types.ServiceConfig) error {
	for _, p := range s.Ports {
		if p.HostIP != "127.0.0.1" {
			return fmt.Errorf("port %s is open to everybody", p.Published)
		}
	}
	return nil
}

func mounted(project *types.Project, s types.ServiceConfig) (err error) {
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind && filepath.Base(v.Source) != "credentials" {
			_, missing := os.Stat(v.Source)
			err = errors.Join(err, missing)
		}
	}
	for _, c := range s.Configs {
		_, missing := os.Stat(project.Configs[c.Source].File)
		err = errors.Join(err, missing)
	}
	return err
}

// inTurn: what it waits for can come about.
func inTurn(project *types.Project, s types.ServiceConfig) error {
	for on, d := range s.DependsOn {
		other := project.Services[on]
		if d.Condition == types.ServiceConditionHealthy && other.HealthCheck == nil || d.Condition == types.ServiceConditionCompletedSuccessfully && !once(other) {
			return fmt.Errorf("it waits for ever until %s is %s", on, d.Condition)
		}
	}
	return nil
}

func TestSecrets(t *testing.T) {
	folder := secrets(t)
	contents := func() map[string]string {
		all := map[string]string{}
		for name, secret := range load(t, "SECRETS="+folder).Secrets {
			content, err := os.ReadFile(secret.File)
			if err != nil || len(content) < 20 {
				t.Errorf("%s: %v, %d bytes", name, err, len(content))
			}
			all[name] = string(content)
		}
		return all
	}
	before := contents()
	makeSecrets(t, folder)
	if !maps.Equal(before, contents()) {
		t.Error("making them again changed secrets in use")
	}
	other := load(t, "SECRETS="+secrets(t))
	for name, secret := range other.Secrets {
		if content, _ := os.ReadFile(secret.File); string(content) == before[name] {
			t.Errorf("%s is the same elsewhere", name)
		}
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can enter the folder: %v, %v", info.Mode(), err)
	}
}

// Every setting of compose.yaml is explained in .env.example, with the value that it has without.
func TestExampleOfSettings(t *testing.T) {
	explained, err := dotenv.Read(deploy(t, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	options, err := cli.NewProjectOptions([]string{deploy(t, "compose.yaml")}, cli.WithInterpolation(false))
	if err != nil {
		t.Fatal(err)
	}
	file, err := options.LoadModel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]string{}
	for name, v := range template.ExtractVariables(file, template.DefaultPattern) {
		read[name] = v.DefaultValue
	}
	if !maps.Equal(read, explained) {
		t.Errorf("compose.yaml reads  %v\n.env.example says  %v", read, explained)
	}
}

func TestPrometheusAsksEveryService(t *testing.T) {
	project := load(t)
	content, err := os.ReadFile(deploy(t, "prometheus/prometheus.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Rules []string `yaml:"rule_files"`
		Jobs  []struct {
			Found []struct{ Names []string } `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, job := range config.Jobs {
		for _, found := range job.Found {
			for _, name := range found.Names {
				asked[name] = true
			}
		}
	}
	for name, s := range project.Services {
		if _, near := s.Networks["watch"]; (program(s) != "") != asked[name] || asked[name] && !near {
			t.Errorf("%s: is asked: %t, in its network: %t", name, asked[name], near)
		}
		delete(asked, name)
	}
	if len(asked) > 0 {
		t.Errorf("asks %v, of which there are none", asked)
	}
	for _, rules := range config.Rules {
		if _, err := os.Stat(deploy(t, "prometheus/"+rules)); err != nil {
			t.Error(err)
		}
	}
}
