package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/services/consumer/internal/channel"
)

// people is a sender that writes down who was told what.
type people struct {
	mu   sync.Mutex
	told map[string]int // by notice
	say  func(ctx context.Context, n *notice.Notice) error
}

func (p *people) Send(ctx context.Context, _ *notice.Channel, n *notice.Notice) (string, error) {
	if p.say != nil {
		if err := p.say(ctx, n); err != nil {
			return "", err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == nil {
		p.told = map[string]int{}
	}
	p.told[n.ID]++
	return "", nil
}

func (p *people) count(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told[id]
}

func open(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, id := range []string{"ops", "slow"} {
		data, _ := json.Marshal(notice.Channel{ID: id, Project: "shop", Type: "webhook"})
		create(t, s, store.Record{Kind: notice.ChannelKind, Project: "shop", ID: id, Data: data})
	}
	return s
}

func create(t *testing.T, s store.Records, r store.Record) {
	t.Helper()
	if err := s.CreateRecord(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// fire puts a firing into the store as those who evaluate rules do.
func fire(t *testing.T, s store.Records, id string, channels ...string) {
	t.Helper()
	f := rule.Firing{ID: id, Rule: "r", Project: "shop", State: rule.StateFiring, Severity: "warning", Channels: channels, At: 1000}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, store.Record{Kind: rule.FiringKind, Project: "shop", ID: id, Due: event.TimeOf(time.Now()), Data: data})
}

// quick are times that a test can wait for.
var quick = Times{
	Look: 5 * time.Millisecond, Try: 200 * time.Millisecond, Taken: 400 * time.Millisecond, First: 5 * time.Millisecond, Longest: 20 * time.Millisecond,
	Patient: time.Minute, Keep: time.Hour, Past: time.Hour, Grace: time.Second,
}

func notifier(s store.Records, p Sender) *Notifier {
	n := New(s, p, 0, NewMetrics(prometheus.NewRegistry()), zap.NewNop())
	n.times = quick
	return n
}

// run runs it until the function that it gives is called, or the test ends.
func run(t *testing.T, n *Notifier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

// state waits until a notice is in a state.
func state(t *testing.T, s store.Records, id, want string) *notice.Notice {
	t.Helper()
	for {
		r, err := s.Record(t.Context(), notice.Kind, "shop", id)
		if err == nil {
			told, err := notice.Of(r)
			if err != nil {
				t.Fatal(err)
			}
			if told.State == want {
				if r.Due == 0 {
					t.Errorf("%s is %s and due at %v", id, want, r.Due)
				}
				return told
			}
		} else if !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		if !proc.Pause(t.Context(), 5*time.Millisecond) {
			t.Fatalf("%s did not become %s", id, want)
		}
	}
}

func TestEveryChannelOfAFiringIsToldOnce(t *testing.T) {
	s, p := open(t), &people{}
	for i := range 20 {
		fire(t, s, fmt.Sprint("f", i), "ops", "slow")
	}
	for range 3 { // processes
		run(t, notifier(s, p))
	}
	for i := range 20 {
		for _, c := range []string{"ops", "slow"} {
			told := state(t, s, fmt.Sprintf("f%d/%s", i, c), notice.Delivered)
			if n := p.count(told.ID); n != 1 || told.Attempts != 1 || told.DeliveredAt == 0 {
				t.Errorf("%s: told %d times in %d attempts", told.ID, n, told.Attempts)
			}
		}
	}
	due, err := s.DueRecords(t.Context(), rule.FiringKind, event.TimeOf(time.Now().Add(time.Minute)), 100)
	for len(due) > 0 && err == nil && proc.Pause(t.Context(), 5*time.Millisecond) {
		due, err = s.DueRecords(t.Context(), rule.FiringKind, event.TimeOf(time.Now().Add(time.Minute)), 100)
	}
	if err != nil || len(due) > 0 {
		t.Errorf("%d firings are due still, %v", len(due), err)
	}
}

func TestItIsTriedUntilItWorks(t *testing.T) {
	s := open(t)
	var tries atomic.Int32
	p := &people{say: func(context.Context, *notice.Notice) error {
		if tries.Add(1) < 3 {
			return errors.New("away")
		}
		return nil
	}}
	fire(t, s, "f", "ops")
	run(t, notifier(s, p))
	if told := state(t, s, "f/ops", notice.Delivered); told.Attempts != 3 || told.LastError != "" {
		t.Errorf("got %d attempts, %q", told.Attempts, told.LastError)
	}
}

// TestAChannelThatHangsSlowsNoOther has more notices for it than are read at a time.
func TestAChannelThatHangsSlowsNoOther(t *testing.T) {
	s := open(t)
	p := &people{say: func(ctx context.Context, n *notice.Notice) error {
		if n.Channel == "slow" {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	for i := range page + 50 {
		fire(t, s, fmt.Sprint("slow", i), "slow")
	}
	n := notifier(s, p)
	n.times.Try = time.Hour
	n.times.Grace = 0
	run(t, n)
	state(t, s, "slow0/slow", notice.Waiting)
	for i := range 50 {
		fire(t, s, fmt.Sprint("f", i), "ops")
	}
	for i := range 50 {
		state(t, s, fmt.Sprintf("f%d/ops", i), notice.Delivered)
	}
}

func TestWhatIsGivenUpIsListed(t *testing.T) {
	refused := fault.New(fault.Invalid, "refused", "answered 404 no_service")
	tests := map[string]struct {
		channel string
		say     error
		patient time.Duration
		want    string
	}{
		"refused":                {"ops", refused, time.Minute, "answered 404 no_service"},
		"away for too long":      {"ops", errors.New("away"), 30 * time.Millisecond, "away"},
		"a channel that is none": {"none", nil, time.Minute, `no channel "none"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			n := notifier(s, &people{say: func(context.Context, *notice.Notice) error { return tt.say }})
			n.times.Patient = tt.patient
			fire(t, s, "f", tt.channel)
			run(t, n)
			if told := state(t, s, "f/"+tt.channel, notice.GivenUp); !strings.Contains(told.LastError, tt.want) {
				t.Errorf("got %q, want %q in it", told.LastError, tt.want)
			}
		})
	}
}

func TestATestIsTriedOnce(t *testing.T) {
	s := open(t)
	told := notice.Sample("shop", "ops", "test/ops")
	told.State, told.CreatedAt = notice.Waiting, event.TimeOf(time.Now())
	r, err := told.Record(told.CreatedAt, 0)
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, r)
	run(t, notifier(s, &people{say: func(context.Context, *notice.Notice) error { return errors.New("away") }}))
	if told := state(t, s, "test/ops", notice.GivenUp); told.Attempts != 1 || told.LastError != "away" {
		t.Errorf("got %d attempts, %q", told.Attempts, told.LastError)
	}
}

func TestSilencedPeopleAreNotTold(t *testing.T) {
	s, p := open(t), &people{}
	data, _ := json.Marshal(notice.Silence{From: 500, To: 1500})
	create(t, s, store.Record{Kind: notice.SilenceKind, Project: "shop", ID: "night", Data: data})
	fire(t, s, "f", "ops")
	run(t, notifier(s, p))
	state(t, s, "f/ops", notice.Silenced)
	if p.count("f/ops") != 0 {
		t.Error("told in spite of the silence")
	}
}

func TestWhatWasDeliveredIsForgottenInTime(t *testing.T) {
	s := open(t)
	n := notifier(s, &people{})
	n.times.Keep = 20 * time.Millisecond
	fire(t, s, "f", "ops")
	run(t, n)
	for { // it comes and goes
		r, err := s.Record(t.Context(), rule.FiringKind, "shop", "f")
		_, gone := s.Record(t.Context(), notice.Kind, "shop", "f/ops")
		if err == nil && r.Due > event.TimeOf(time.Now()) && errors.Is(gone, store.ErrNotFound) {
			return
		}
		if !proc.Pause(t.Context(), 5*time.Millisecond) {
			t.Fatal("it is there still")
		}
	}
}

// TestWhatIsPastIsDeletedInTime has what nobody needs any more go, and what lasts stay.
func TestWhatIsPastIsDeletedInTime(t *testing.T) {
	s := open(t)
	n := notifier(s, &people{say: func(_ context.Context, n *notice.Notice) error {
		if n.Channel == "slow" {
			return fault.New(fault.Invalid, "refused", "answered 404")
		}
		return nil
	}})
	n.times.Past = 50 * time.Millisecond
	now := event.TimeOf(time.Now())
	for id, to := range map[string]event.Time{"over": now - 1000, "lasting": now + 3_600_000} {
		data, _ := json.Marshal(notice.Silence{Rules: []string{"another"}, From: 500, To: to})
		create(t, s, store.Record{Kind: notice.SilenceKind, Project: "shop", ID: id, Due: to, Data: data})
	}
	fire(t, s, "f", "ops", "slow")
	run(t, n)
	for _, key := range [][2]string{{rule.FiringKind, "f"}, {notice.Kind, "f/slow"}, {notice.SilenceKind, "over"}} {
		for {
			if _, err := s.Record(t.Context(), key[0], "shop", key[1]); errors.Is(err, store.ErrNotFound) {
				break
			}
			if !proc.Pause(t.Context(), 5*time.Millisecond) {
				t.Fatalf("%s %s is there still", key[0], key[1])
			}
		}
	}
	state(t, s, "f/ops", notice.Delivered)
	if _, err := s.Record(t.Context(), notice.SilenceKind, "shop", "lasting"); err != nil {
		t.Errorf("the silence that lasts: %v", err)
	}
}

// mortal is a store as a process sees it that is killed after so many writes:
// from then on nothing that it does has an effect.
type mortal struct {
	store.Store
	left atomic.Int32
}

var errKilled = errors.New("killed")

func (m *mortal) write() error {
	if m.left.Add(-1) < 0 {
		return errKilled
	}
	return nil
}

func (m *mortal) CreateRecord(ctx context.Context, r store.Record) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Store.CreateRecord(ctx, r)
}

func (m *mortal) UpdateRecord(ctx context.Context, r store.Record) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Store.UpdateRecord(ctx, r)
}

// TestKilledAnywhere kills a process after each of its writes in turn; another
// one goes on, and both people are told at least once.
func TestKilledAnywhere(t *testing.T) {
	for writes := range 8 {
		t.Run(fmt.Sprint("after ", writes, " writes"), func(t *testing.T) {
			s, p := open(t), &people{}
			fire(t, s, "f", "ops", "slow")
			dying := &mortal{Store: s}
			dying.left.Store(int32(writes))
			first := notifier(dying, p)
			first.times.Grace = 0
			stop := run(t, first)
			for dying.left.Load() >= 0 && first.idle(t, s) {
				proc.Pause(t.Context(), time.Millisecond)
			}
			stop()
			run(t, notifier(s, p))
			for _, id := range []string{"f/ops", "f/slow"} {
				state(t, s, id, notice.Delivered)
				if n := p.count(id); n < 1 || n > 2 {
					t.Errorf("%s: told %d times", id, n)
				}
			}
		})
	}
}

// idle says that there is something left to do.
func (n *Notifier) idle(t *testing.T, s store.Records) bool {
	t.Helper()
	for _, id := range []string{"f/ops", "f/slow"} {
		r, err := s.Record(t.Context(), notice.Kind, "shop", id)
		if err != nil {
			return true
		}
		if told, err := notice.Of(r); err != nil || told.State == notice.Waiting {
			return true
		}
	}
	return false
}

func TestWhenItIsTriedAgain(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n := New(nil, nil, 0, NewMetrics(prometheus.NewRegistry()), zap.NewNop())
	n.now = func() time.Time { return now }
	limited := func(after time.Duration) error {
		return &fault.Error{Kind: fault.Limited, Message: "too many", RetryAfter: after}
	}
	tests := map[string]struct {
		age         time.Duration
		attempts    int
		err         error
		state       string
		least, most time.Duration
	}{
		"first failure":        {0, 1, errors.New("x"), notice.Waiting, 3 * time.Second, 7 * time.Second},
		"fourth":               {time.Minute, 4, errors.New("x"), notice.Waiting, 30 * time.Second, 50 * time.Second},
		"many":                 {20 * time.Hour, 40, errors.New("x"), notice.Waiting, 45 * time.Minute, 75 * time.Minute},
		"as the server wants":  {0, 1, limited(10 * time.Minute), notice.Waiting, 10 * time.Minute, 10 * time.Minute},
		"not later than a day": {23 * time.Hour, 9, limited(48 * time.Hour), notice.Waiting, time.Hour, time.Hour},
		"after a day":          {24 * time.Hour, 9, errors.New("x"), notice.GivenUp, 90 * 24 * time.Hour, 90 * 24 * time.Hour},
		"never":                {0, 1, fault.New(fault.Invalid, "refused", "no"), notice.GivenUp, 90 * 24 * time.Hour, 90 * 24 * time.Hour},
	}
	for name, tt := range tests {
		told := &notice.Notice{Attempts: tt.attempts, CreatedAt: event.TimeOf(now.Add(-tt.age))}
		o := n.outcome(told, "", tt.err)
		wait := o.due.Std().Sub(now)
		if o.due == 0 {
			wait = 0
		}
		if o.state != tt.state || wait < tt.least || wait > tt.most || o.said != tt.err.Error() {
			t.Errorf("%s: got %s in %s, want %s in %s to %s", name, o.state, wait, tt.state, tt.least, tt.most)
		}
	}
}

func TestATargetIsLeftAloneWhileItFails(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	admit := func(tg *target, key string) admission {
		_, why := tg.admit(key, now)
		return why
	}
	tg := &target{pace: channel.Pace{AtOnce: 2}, sending: map[string]bool{}}
	for i, want := range []admission{admitted, already, admitted, busy} {
		if got := admit(tg, []string{"a", "a", "b", "c"}[i]); got != want {
			t.Errorf("%d: got %d, want %d", i, got, want)
		}
	}
	tg.leave("a")
	tg.leave("b")
	for range failuresToShut {
		tg.heard(errors.New("away"), 0, now)
	}
	if got := admit(tg, "a"); got != shut {
		t.Errorf("after failures: got %d, want it shut", got)
	}
	now = now.Add(2 * firstShut)
	if got := []admission{admit(tg, "a"), admit(tg, "b")}; got[0] != admitted || got[1] != busy {
		t.Errorf("then: got %v, want one to try it", got)
	}
	tg.leave("a")
	tg.heard(fault.New(fault.Invalid, "refused", "no"), 0, now)
	if got := []admission{admit(tg, "a"), admit(tg, "b")}; got[0] != admitted || got[1] != admitted {
		t.Errorf("after an answer: got %v, want both", got)
	}
	tg.leave("a")
	tg.heard(&fault.Error{Kind: fault.Limited}, time.Minute, now)
	if until, why := tg.admit("c", now.Add(59*time.Second)); why != shut || until != now.Add(time.Minute) {
		t.Errorf("while it wants none: got %d until %s", why, until)
	}
	if got := admit(&target{pace: channel.Pace{AtOnce: 1, Every: time.Second}, began: now, sending: map[string]bool{}}, "a"); got != busy {
		t.Errorf("too soon after another: got %d, want busy", got)
	}
}
