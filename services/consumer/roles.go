package consumer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/maidian/maidian/pkg/proc"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/services/consumer/internal/alert"
	"github.com/maidian/maidian/services/consumer/internal/channel"
	"github.com/maidian/maidian/services/consumer/internal/forward"
	"github.com/maidian/maidian/services/consumer/internal/lease"
	"github.com/maidian/maidian/services/consumer/internal/notify"
	"github.com/maidian/maidian/services/consumer/internal/outgoing"
)

// role is something that a consumer does. Consumers may have some each, so that
// what costs much can be scaled by itself.
type role struct {
	name  string
	start func(s *Settings, p *proc.Process, deps Deps) error
}

// roles in the order in which they are started. Adding one is a file and a line here.
func roles() []role {
	return []role{
		{"store", (*Settings).storing},
		{"alert", (*Settings).alerting},
		{"forward", (*Settings).forwarding},
	}
}

func (s *Settings) validateRoles() error {
	var known []string
	for _, r := range roles() {
		known = append(known, r.name)
	}
	for _, name := range s.Roles {
		if !slices.Contains(known, name) {
			return fmt.Errorf("CONSUMER_ROLES must be some of %s, got %q", strings.Join(known, ", "), name)
		}
	}
	return nil
}

// forwarding sends stored events on to other systems.
func (s *Settings) forwarding(p *proc.Process, deps Deps) error {
	keys, err := secret.Open(s.Secret)
	if err != nil {
		return err
	}
	leases := lease.NewKeeper(deps.Store, uuid.NewString(), lease.DefaultFor, p.Log)
	near := outgoing.Near(s.Near, nearSetting)
	env := forward.Env{
		Web:    outgoing.New(s.Outgoing).Client(),
		Dial:   near.Dial,
		Folder: s.Files,
		Keys:   keys,

		Warehouses: deps.Warehouses,
	}
	f := forward.New(deps.Store, leases, env, forward.NewMetrics(p.Metrics), p.Log)
	follow(p, "forward", f.Run)
	return nil
}

// alerting holds rules against stored events, and tells people what comes of it.
func (s *Settings) alerting(p *proc.Process, deps Deps) error {
	keys, err := secret.Open(s.Secret)
	if err != nil {
		return err
	}
	sender := channel.New(outgoing.New(s.Outgoing), keys, s.PublicURL)
	notifier := notify.New(deps.Store, sender, s.AlertKeep, notify.NewMetrics(p.Metrics), p.Log)
	follow(p, "notify", notifier.Run)
	leases := lease.NewKeeper(deps.Store, uuid.NewString(), lease.DefaultFor, p.Log)
	follow(p, "alert", alert.New(deps.Store, deps.Queue, leases, notifier.Wake, alert.NewMetrics(p.Metrics), p.Log).Run)
	return nil
}

// follow runs work that must have ended before the store is closed.
func follow(p *proc.Process, name string, work func(ctx context.Context) error) {
	var working sync.WaitGroup
	p.OnStop(name, func(ctx context.Context) error { return proc.Wait(ctx, &working) })
	working.Add(1)
	p.Go(name, func(ctx context.Context) error {
		defer working.Done()
		return work(ctx)
	})
}
