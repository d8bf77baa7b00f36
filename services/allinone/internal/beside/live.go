package beside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maidian/maidian/pkg/testenv/seeded"
)

const (
	incoming  = 2000 // events a second
	perPost   = 20   // events
	senders   = 4
	analysts  = 16
	lookEvery = 5 * time.Millisecond
	phase     = 10 * time.Second
)

// live measures the all-in-one, on a copy of the store, while it has more to
// do than to answer one analyst.
func (b *Bench) live(ctx context.Context) (figures []Figure, err error) {
	dir := filepath.Join(b.Dir, "live")
	if err := b.copyStore(ctx, dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := b.server(ctx, Whole, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, q := range append(Questions(), heavy) {
		for turn := range warm {
			if _, _, err := s.Ask(ctx, q.Route, q.Body(turn)); err != nil {
				return nil, err
			}
		}
	}
	for _, measure := range []func(context.Context, *Server) ([]Figure, error){b.crowd, b.heavyBesideRealtime, b.visibility, b.whileIncoming} {
		more, err := measure(ctx, s)
		if err != nil {
			return figures, err
		}
		figures = append(figures, more...)
	}
	return figures, nil
}

func (b *Bench) copyStore(ctx context.Context, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "cp", "--reflink=auto", "-r", filepath.Join(b.Dir, "store"), filepath.Join(dir, "store")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy the store: %w: %s", err, out)
	}
	return nil
}

// crowd asks a mix of questions as one analyst and as many, each of whom waits
// for an answer before the next question.
func (b *Bench) crowd(ctx context.Context, s *Server) ([]Figure, error) {
	var mix []Question
	for _, q := range Questions() {
		if q.Route != "realtime" {
			mix = append(mix, q)
		}
	}
	alone, err := s.askFor(ctx, phase, 1, mix)
	if err != nil {
		return nil, err
	}
	together, err := s.askFor(ctx, phase, analysts, mix)
	return []Figure{{
		Name: fmt.Sprintf("p99 of %d analysts at once, %.0f answers/s", analysts, float64(len(together))/phase.Seconds()), Unit: "ms",
		Ours: []float64{quantile(together, 0.99)}, Beside: fmt.Sprintf("one, %.0f answers/s", float64(len(alone))/phase.Seconds()),
		Theirs: []float64{quantile(alone, 0.99)}, Goal: analysts,
	}}, err
}

// askFor lets people ask the questions round and round for a while.
func (s *Server) askFor(ctx context.Context, while time.Duration, people int, mix []Question) (took []float64, err error) {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	end := time.Now().Add(while)
	for person := range people {
		group.Go(func() error {
			for turn := person; time.Now().Before(end); turn++ {
				q := mix[turn%len(mix)]
				_, t, err := s.Ask(ctx, q.Route, q.Body(turn))
				if err != nil {
					return err
				}
				mu.Lock()
				took = append(took, milliseconds(t))
				mu.Unlock()
			}
			return nil
		})
	}
	return took, group.Wait()
}

// heavy is a question that goes through every session of every user.
var heavy = Question{Route: "paths", Body: always(`{` + last90 + `, "by": "page_path", "steps": 5}`)}

// heavyBesideRealtime asks who is online while one heavy question follows another.
func (b *Bench) heavyBesideRealtime(ctx context.Context, s *Server) ([]Figure, error) {
	realtime := Question{Route: "realtime", Body: always(`{}`)}
	alone, err := s.askFor(ctx, phase/2, 1, []Question{realtime})
	if err != nil {
		return nil, err
	}
	var besides, heavies []float64
	var group errgroup.Group
	group.Go(func() (err error) { heavies, err = s.askFor(ctx, phase, 1, []Question{heavy}); return err })
	group.Go(func() (err error) { besides, err = s.askFor(ctx, phase, 1, []Question{realtime}); return err })
	err = group.Wait()
	return []Figure{
		{Name: "realtime p99 beside one heavy query after another", Unit: "ms", Ours: []float64{quantile(besides, 0.99)}, Beside: "nothing else", Theirs: []float64{quantile(alone, 0.99)}},
		{Name: "the longest of them", Unit: "ms", Ours: []float64{quantile(besides, 1)}, Beside: "the heavy query", Theirs: []float64{median(heavies)}, Goal: 1},
	}, err
}

// whileIncoming asks the questions alone and while events come in, in turn.
func (b *Bench) whileIncoming(ctx context.Context, s *Server) ([]Figure, error) {
	figures := make([]Figure, len(Questions()))
	for i, q := range Questions() {
		figures[i] = Figure{Name: fmt.Sprintf("while %d events/s come in: %s", incoming, q.Name), Unit: "ms", Beside: "quiet", Goal: 1.5}
	}
	for range 3 {
		for i := range figures {
			if err := b.askAgain(ctx, s, i, &figures[i].Theirs); err != nil {
				return nil, err
			}
		}
		stream := b.stream(ctx, s)
		for i := range figures {
			if err := b.askAgain(ctx, s, i, &figures[i].Ours); err != nil {
				return nil, errors.Join(err, stream.stop())
			}
		}
		if err := stream.stop(); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// askAgain asks a question as often as it is to be repeated.
func (b *Bench) askAgain(ctx context.Context, s *Server, question int, took *[]float64) error {
	q := Questions()[question]
	for turn := range b.Repetitions {
		_, t, err := s.Ask(ctx, q.Route, q.Body(turn))
		if err != nil {
			return err
		}
		*took = append(*took, milliseconds(t))
	}
	return nil
}

// visibility is how long after its 200 an event is in answers.
func (b *Bench) visibility(ctx context.Context, s *Server) (_ []Figure, err error) {
	since := time.Now().UTC().Add(-time.Second)
	body := fmt.Sprintf(`{"from": %q, "to": %q}`, since.Format(time.RFC3339Nano), since.Add(time.Hour).Format(time.RFC3339Nano))
	stream := b.stream(ctx, s)
	defer func() { err = errors.Join(err, stream.stop()) }()
	var waited []float64
	look := func() error {
		var answer struct{ Total int }
		text, _, err := s.Ask(ctx, "stats/events", body)
		if err == nil {
			err = json.Unmarshal(text, &answer)
		}
		waited = append(waited, stream.seen(answer.Total)...)
		return err
	}
	end := time.Now().Add(phase)
	for pause := time.NewTicker(lookEvery); time.Now().Before(end); <-pause.C {
		if err := look(); err != nil {
			return nil, err
		}
	}
	if err := stream.stop(); err != nil {
		return nil, err
	}
	for pause := time.NewTicker(lookEvery); stream.waiting() > 0; <-pause.C {
		if err := look(); err != nil {
			return nil, err
		}
		if time.Now().After(end.Add(phase)) {
			return nil, fmt.Errorf("%d requests with accepted events are not in answers after %s", stream.waiting(), phase)
		}
	}
	rate := float64(len(waited)*perPost) / phase.Seconds()
	return []Figure{
		{Name: fmt.Sprintf("accepted event in answers, p99, at %.0f events/s", rate), Unit: "ms", Ours: []float64{quantile(waited, 0.99)}, Goal: 1000},
		{Name: "the same, median", Unit: "ms", Ours: []float64{median(waited)}},
	}, nil
}

// stream sends events through the collector at a steady rate.
type stream struct {
	cancel context.CancelFunc
	group  *errgroup.Group

	mu       sync.Mutex
	sent     int       // events of requests that were begun
	accepted []arrival // that were not seen yet, in order of needs
}

// arrival is a request that was answered with 200. Once answers hold as many
// events as had been sent by then, they hold its own: more than all is not there.
type arrival struct {
	at    time.Time
	needs int
}

func (b *Bench) stream(ctx context.Context, s *Server) *stream {
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	t := &stream{cancel: cancel, group: group}
	due := make(chan string)
	group.Go(func() error {
		defer close(due)
		onSchedule(ctx, due)
		return nil
	})
	for range senders {
		group.Go(func() error {
			for body := range due {
				if err := t.send(context.WithoutCancel(ctx), s, body); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return t
}

// onSchedule hands out requests at the rate, and makes up for what is late.
func onSchedule(ctx context.Context, due chan<- string) {
	bodies := postBodies()
	began := time.Now()
	for n := 0; ; n++ {
		wait := time.NewTimer(time.Until(began.Add(time.Duration(n) * time.Second * perPost / incoming)))
		select {
		case <-wait.C:
		case <-ctx.Done():
			return
		}
		select {
		case due <- bodies[n%len(bodies)]:
		case <-ctx.Done():
			return
		}
	}
}

func (t *stream) send(ctx context.Context, s *Server, body string) error {
	t.mu.Lock()
	t.sent += perPost
	t.mu.Unlock()
	status, answer, err := s.post(ctx, s.Collector+"/api/v1/analytics/track/batch", WriteKey, body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the collector answered %d: %s", status, answer)
	}
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accepted = append(t.accepted, arrival{time.Now(), t.sent})
	return nil
}

// seen says of the requests whose events answers hold by now how long that took.
func (t *stream) seen(total int) (waited []float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(t.accepted) && t.accepted[n].needs <= total {
		waited = append(waited, milliseconds(time.Since(t.accepted[n].at)))
		n++
	}
	t.accepted = t.accepted[n:]
	return waited
}

func (t *stream) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.accepted)
}

func (t *stream) stop() error {
	t.cancel()
	return t.group.Wait()
}

// postBodies are requests of new users who do what those of the set do, now.
func postBodies() (bodies []string) {
	var events []map[string]any
	for row := range seeded.Rows(20_000, 2000, 1) {
		e := row.Event()
		events = append(events, map[string]any{
			"event_type": e.EventType, "user_id": "live-" + e.UserID, "session_id": "live-" + e.SessionID, "page_url": e.PageURL,
			"properties": map[string]any{"platform": row.Platform(), "amount": row.Amount},
		})
		if len(events) == perPost {
			body, err := json.Marshal(map[string]any{"events": events})
			if err != nil {
				panic(err) // texts and numbers only
			}
			bodies, events = append(bodies, string(body)), nil
		}
	}
	return bodies
}
