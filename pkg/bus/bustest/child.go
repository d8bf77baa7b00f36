//go:build unix

package bustest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
)

// A child process does one thing to a queue and is killed while it does it.
const (
	childVariable = "MAIDIAN_BUSTEST_CHILD"
	modePublish   = "publish" // publish for ever, say which were confirmed
	modeIn        = "in"      // take messages, say which, never answer
	modeAfter     = "after"   // take messages, say which, die between handle and acknowledgement
)

// Client is a queue as a child process opens it.
type Client interface {
	Publisher() (bus.Publisher, error)
	Receiver(limits bus.Limits) (bus.Receiver, error)
}

// Child does what a parent test wants of this process, if one does, and then
// never returns. Call it first in TestMain.
func Child(open func(spec string) (Client, error)) {
	mode, spec, wanted := strings.Cut(os.Getenv(childVariable), " ")
	if !wanted {
		return
	}
	client, err := open(spec)
	if err == nil {
		err = childWork(client, mode)
	}
	fmt.Println("failed", err)
	os.Exit(1)
}

func childWork(c Client, mode string) error {
	if mode == modePublish {
		return childPublish(c)
	}
	r, err := c.Receiver(bus.Limits{Prefetch: 100, Messages: 5, Wait: time.Minute})
	if err != nil {
		return err
	}
	return r.Receive(context.Background(), func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		for _, d := range ds {
			fmt.Println("got", d.ID)
		}
		if mode == modeAfter {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // the last thing handle does
		}
		select {}
	})
}

func childPublish(c Client) error {
	p, err := c.Publisher()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("w%d-%06d", worker, n)
				if publishUntilConfirmed(context.Background(), p, id) == nil {
					fmt.Println("got", id)
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// runChild starts a child and calls yield with each id it names until yield
// says stop; then the child is killed, and what it still said is yielded.
func runChild(ctx context.Context, t testing.TB, mode string, b Broker, yield func(id string) (more bool)) {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+mode+" "+b.Spec())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, id, _ := strings.Cut(lines.Text(), " ")
		if word != "got" {
			t.Errorf("the child process: %s", lines.Text())
		} else if !yield(id) {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // it was killed
}
