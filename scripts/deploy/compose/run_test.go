package compose

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/maidian/maidian/pkg/testenv"
)

// container is one of the services while it runs: in a container, or as a process.
type container struct {
	name   string
	public string // address of its API; "" where it has none
	env    map[string]string
	cmd    *exec.Cmd
	probe  []string // the health check, as it is run from outside
	inside string   // the container's name; "" for a process
	log    bytes.Buffer
	done   chan struct{} // closed when it has ended, by then err is why
	err    error
}

// run starts the container, and sees to it that nothing is left of it.
func (c *container) run(t *testing.T) {
	c.done = make(chan struct{})
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	t.Cleanup(func() {
		if c.inside != "" {
			_ = exec.Command("podman", "rm", "--force", "--time", "0", "--ignore", c.inside).Run()
		}
		_ = c.cmd.Process.Kill()
		<-c.done
		if t.Failed() {
			t.Logf("%s:\n%s", c.name, c.log.String())
		}
	})
}

// asProcess readies the program itself, which finds its secrets where they lie.
func (c *container) asProcess(bin string, service types.ServiceConfig, project *types.Project) {
	path := filepath.Join(bin, program(service))
	for _, secret := range service.Secrets {
		for name, value := range c.env {
			if value == secret.Target {
				c.env[name] = project.Secrets[secret.Source].File
			}
		}
	}
	c.cmd = exec.Command(path)
	c.cmd.Env = c.environ()
	c.probe = append([]string{path}, service.HealthCheck.Test[2:]...)
}

// inContainer readies a container of the image, confined as the file says.
func (c *container) inContainer(tag string, service types.ServiceConfig, project *types.Project) {
	c.inside = fmt.Sprintf("maidian-test-%d-%s", os.Getpid(), service.Name)
	limits := service.Deploy.Resources.Limits
	args := []string{
		"run", "--name", c.inside, "--network", "host", "--user", service.User, fmt.Sprintf("--read-only=%t", service.ReadOnly), "--read-only-tmpfs=false",
		"--memory", strconv.FormatInt(int64(limits.MemoryBytes), 10), "--cpus", fmt.Sprint(limits.NanoCPUs), "--pids-limit", strconv.FormatInt(limits.Pids, 10),
	}
	for _, capability := range service.CapDrop {
		args = append(args, "--cap-drop", capability)
	}
	for _, option := range service.SecurityOpt {
		args = append(args, "--security-opt", strings.TrimSuffix(option, ":true"))
	}
	for _, secret := range service.Secrets {
		args = append(args, "--volume", project.Secrets[secret.Source].File+":"+secret.Target+":ro")
	}
	for _, v := range service.Volumes {
		args = append(args, "--volume", v.Source+":"+v.Target+":ro")
	}
	for _, entry := range c.environ() {
		args = append(args, "--env", entry)
	}
	c.cmd = exec.Command("podman", append(args, "localhost/maidian/"+program(service)+":"+tag)...)
	c.probe = append([]string{"podman", "exec", c.inside}, service.HealthCheck.Test[1:]...)
}

func (c *container) environ() (list []string) {
	for name, value := range c.env {
		list = append(list, name+"="+value)
	}
	return list
}

// isReady waits until the health check of compose.yaml says so.
func (c *container) isReady(t *testing.T) {
	t.Helper()
	eventually(t, c.name+" is healthy", func() error {
		select {
		case <-c.done:
			t.Fatalf("%s ended: %v", c.name, c.err)
		default:
		}
		probe := exec.Command(c.probe[0], c.probe[1:]...)
		if c.inside == "" {
			probe.Env = c.environ()
		}
		if out, err := probe.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// isConfined looks at what the kernel says of a container's process.
func (c *container) isConfined(t *testing.T) {
	if c.inside == "" {
		return
	}
	out, err := exec.Command("podman", "inspect", "--format", "{{.State.Pid}}", c.inside).Output()
	if err != nil {
		t.Fatal(err)
	}
	proc := filepath.Join("/proc", strings.TrimSpace(string(out)))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("%s: no %q in\n%s", c.name, want, status)
		}
	}
	mounts, err := os.ReadFile(filepath.Join(proc, "mounts"))
	if err != nil {
		t.Fatal(err)
	}
	for mount := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(mount); fields[1] == "/" && !strings.HasPrefix(fields[3], "ro") {
			t.Errorf("%s can write: %s", c.name, mount)
		}
	}
}

// signal tells it to stop, as docker stop does.
func (c *container) signal(t *testing.T) {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
}

// ended waits until it has stopped, which must be in good order.
func (c *container) ended(t *testing.T) {
	t.Helper()
	eventually(t, c.name+" stops", func() error {
		select {
		case <-c.done:
			return nil
		default:
			return errors.New("it still runs")
		}
	})
	if c.err != nil {
		t.Errorf("%s stopped in disorder: %v", c.name, c.err)
	}
}

// programs builds the services as their images hold them.
func programs(t *testing.T) (bin string) {
	bin = t.TempDir()
	for _, service := range []string{"collector", "consumer", "query"} {
		build := exec.Command(filepath.Join(testenv.Root(t), "scripts/static"), service, filepath.Join(bin, service))
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return bin
}
