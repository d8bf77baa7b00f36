package faults

// seams let a program kill itself at a point of a delivery, or of a request,
// that the environment names: CRASH_AT, at the CRASH_AFTERth time that it comes by.
var seams = []patch{
	{file: "services/collector/internal/intake/crash_here.go", new: "package intake\n" + crashHere},
	{
		file: "services/collector/internal/intake/intake.go",
		old:  "		if err := in.coalescer.Publish(ctx, from, lines.bytes, lines.ends); err != nil {\n			return Answer{}, err\n		}\n",
		new:  "		crashHere(\"after accept\")\n		if err := in.coalescer.Publish(ctx, from, lines.bytes, lines.ends); err != nil {\n			return Answer{}, err\n		}\n		crashHere(\"after confirm\")\n",
	},
	{file: "services/consumer/internal/deliver/crash_here.go", new: "package deliver\n" + crashHere},
	{file: "pkg/bus/internal/receive/crash_here.go", new: "package receive\n" + crashHere},
	{
		file: "services/consumer/internal/deliver/deliver.go",
		old:  "	if err := d.insert(ctx, g); err != nil {\n		return err\n	}\n",
		new:  "	crashHere(\"before insert\")\n	if err := d.insert(ctx, g); err != nil {\n		return err\n	}\n	crashHere(\"after insert\")\n",
	},
	{
		file: "services/consumer/internal/deliver/deliver.go",
		old:  "	d.metrics.settled(g)\n",
		new:  "	crashHere(\"after journal\")\n	d.metrics.settled(g)\n",
	},
	{
		file: "pkg/bus/internal/receive/receive.go",
		old:  "	l.working = nil\n	l.tell(done, nil)\n",
		new:  "	l.working = nil\n	crashHere(\"before ack\")\n	l.tell(done, nil)\n	crashHere(\"after ack\")\n",
	},
}

// stepByStep is a consumer that writes events and journal one after the other
// on every store, as on MongoDB.
var stepByStep = patch{
	file: "services/consumer/internal/deliver/deliver.go",
	old:  "	atOnce, _ := s.(store.AtOnce)\n",
	new:  "	var atOnce store.AtOnce\n",
}

const crashHere = `
import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

var passed atomic.Int64

func crashHere(point string) {
	if os.Getenv("CRASH_AT") != point {
		return
	}
	if n, _ := strconv.ParseInt(os.Getenv("CRASH_AFTER"), 10, 64); passed.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
`
