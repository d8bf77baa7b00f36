//go:build unix

// Package bustest is the conformance suite of the bus: what every adapter
// must do, said as tests, run by each adapter's own tests.
package bustest

import (
	"context"
	"testing"

	"github.com/maidian/maidian/pkg/bus"
)

// Broker is one queue of the broker under test, as this process sees it.
type Broker interface {
	bus.Inspector
	// Publisher opens a publisher that is closed at the end of the test.
	Publisher(t testing.TB) bus.Publisher
	Receiver(t testing.TB, limits bus.Limits) bus.Receiver
	// Spec is what Open needs in a child process to get at the same queue.
	Spec() string
	// Release lets go of the queue where only one process can have it; the
	// next use opens it again.
	Release(t testing.TB)
}

// Harness is an adapter with what can be done to its broker. A nil function
// is something that cannot happen to it.
type Harness struct {
	// New makes an empty queue that refuses above maxMessages; 0: never in a test.
	New func(t testing.TB, maxMessages int64) Broker
	// Kill ends the broker as a power cut would and Start brings it back; nil
	// for a broker that lives inside its clients and dies with them.
	Kill, Start func(t testing.TB)
	// Cut breaks every connection to the broker.
	Cut func(t testing.TB, b Broker)
	// Block makes the broker take no messages; the function it returns lets it
	// take them again, and is nil when nothing does.
	Block func(t testing.TB, b Broker) (unblock func())
	// CountsCrashes: a message that was in the hands of a killed consumer comes with a higher Attempt.
	CountsCrashes bool
}

// Run runs the whole suite. The package's TestMain must call Child first.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"ids, bodies and traces come as they were sent", unchanged},
		{"a message above the limit is refused as too large", tooLarge},
		{"what was confirmed survives kill -9 of everything", confirmedSurvives},
		{"a consumer killed before and in handle loses nothing", func(t *testing.T, h Harness) { consumerKilled(t, h, modeIn) }},
		{"a consumer killed between handle and acknowledgement loses nothing", func(t *testing.T, h Harness) { consumerKilled(t, h, modeAfter) }},
		{"both sides reconnect by themselves and lose nothing", reconnect},
		{"an acknowledgement after a reconnect acknowledges nothing", staleAck},
		{"a full queue refuses, loses nothing and works again when drained", full},
		{"a blocked broker is unavailable by the deadline", blocked},
		{"publishing without any time left is unavailable", noTime},
		{"Close waits for the confirms in flight and then refuses", closeDrains},
		{"a handler that panics or forgets outcomes gets its messages again", forgetfulHandler},
		{"each Again raises the attempt", attempts},
		{"several receivers share the work", sharing},
		{"groups keep to the limits", limits},
		{"while a group is worked on its messages go to nobody else", longHandler},
		{"at the end of Receive everything is settled", endSettles},
		{"the depth counts what is delivered and not acknowledged", depth},
		{"a receiver is ready while it receives", receiverReady},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, h) })
	}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
