//go:build unix

package rabbit_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/bus"
	"github.com/maidian/maidian/pkg/bus/rabbit"
	"github.com/maidian/maidian/pkg/testenv"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/zap"
)

// TestAClassicQueueIsMoved runs what deploy/RUNBOOK.md says: the messages of a
// classic queue are in ours afterwards, each once, as they were.
func TestAClassicQueueIsMoved(t *testing.T) {
	n := testenv.StartRabbit(t)
	plugins := filepath.Join(n.Dir(), "conf", "enabled_plugins")
	if err := os.WriteFile(plugins, []byte("[rabbitmq_shovel].\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Ctl(t, "eval", fmt.Sprintf(`rabbit_plugins:ensure(%q).`, plugins))

	const messages = 500
	classic(t, n, "old_events", messages)
	cfg := rabbit.Config{URL: n.URL(), Queue: "analytics_events"}.WithDefaults()
	p, err := rabbit.NewPublisher(t.Context(), cfg, zap.NewNop(), nil) // as a collector that starts
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(t.Context())
	await(t.Context(), t, func() bool { return p.Ready() == nil }) // it has made the queue

	move := exec.Command(filepath.Join(testenv.Root(t), "scripts", "move-queue"), "old_events", "analytics_events")
	move.Env = n.Env()
	said, err := move.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if !strings.Contains(string(said), "old_events is empty") {
		t.Errorf("it said %s", said)
	}
	r, err := rabbit.NewReceiver(cfg, bus.Limits{Prefetch: 100, Messages: 50, Bytes: 1 << 20}, zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	ctx, enough := context.WithTimeout(t.Context(), time.Minute)
	defer enough()
	err = r.Receive(ctx, func(_ context.Context, ds []bus.Delivery) []bus.Outcome {
		for _, d := range ds {
			got[d.ID+" "+string(d.Body)]++
		}
		if len(got) >= messages {
			enough()
		}
		return slices.Repeat([]bus.Outcome{bus.Done}, len(ds))
	})
	if err != nil {
		t.Error(err)
	}
	for i := range messages {
		if text := fmt.Sprintf("id-%d body-%d", i, i); got[text] != 1 {
			t.Errorf("%q came %d times, want once", text, got[text])
		}
	}
}

// classic makes a classic queue with messages in it.
func classic(t *testing.T, n *testenv.Rabbit, queue string, messages int) {
	t.Helper()
	c, err := amqp.Dial(n.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err == nil {
		_, err = ch.QueueDeclare(queue, true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeClassic})
	}
	if err == nil {
		err = ch.Confirm(false)
	}
	for i := 0; err == nil && i < messages; i++ {
		var d *amqp.DeferredConfirmation
		d, err = ch.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, false, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, MessageId: fmt.Sprint("id-", i), Body: fmt.Append(nil, "body-", i),
		})
		if err == nil && !d.Wait() {
			err = fmt.Errorf("message %d is not confirmed", i)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
