package allinone

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// The project that is there from the first start, with keys that everybody
// knows. They work only while nobody but this machine can reach us.
const (
	DemoProject  = "demo"
	DemoWriteKey = "wk_demo"
	DemoReadKey  = "rk_demo"
	DemoAdminKey = "ak_demo"
)

// checkReach refuses to be reachable by others with keys that everybody knows.
func (s *System) checkReach(context.Context) error {
	s.Demo = isLocal(s.cfg.Collector.Listen) && isLocal(s.cfg.Query.Listen)
	switch {
	case s.Demo && s.cfg.Query.AdminKey == "":
		s.cfg.Query.AdminKey = DemoAdminKey
	case s.Demo:
	case s.cfg.Query.AdminKey == "" || s.cfg.Query.AdminKey == DemoAdminKey:
		return fmt.Errorf("%s and %s are not both on this machine alone, and there the demo keys must not work: set QUERY_ADMIN_KEY to an admin key of your own (ak_…), then make projects with it",
			s.cfg.Collector.Listen, s.cfg.Query.Listen)
	}
	return nil
}

// isLocal says whether only this machine reaches an address.
func isLocal(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// demoProject makes the project demo where its keys may work, and takes the
// keys away where they may not.
func (s *System) demoProject(ctx context.Context) error {
	projects, err := s.Store.Projects(ctx)
	if err != nil {
		return fmt.Errorf("read projects: %w", err)
	}
	at := slices.IndexFunc(projects, func(p store.Project) bool { return p.ID == DemoProject })
	switch {
	case at >= 0:
		err = s.switchDemoKeys(ctx, projects[at])
	case s.Demo:
		err = s.Store.CreateProject(ctx, newDemo())
	}
	if errors.Is(err, store.ErrConflict) { // another one of us on the same store was faster, to the same end
		err = nil
	}
	if err == nil && s.Demo && s.cfg.UseMongo {
		s.log.Warn("the project demo is in this database, with keys that everybody knows: a collector that others can reach takes them too", zap.String("write_key", DemoWriteKey))
	}
	return err
}

func newDemo() store.Project {
	now := event.TimeOf(time.Now())
	return store.Project{
		ID: DemoProject, Name: "Demo", IPPolicy: store.IPMask, CreatedAt: now,
		Keys: []store.Key{demoKey(store.WriteKey, DemoWriteKey, now), demoKey(store.ReadKey, DemoReadKey, now)},
	}
}

func demoKey(kind, key string, now event.Time) store.Key {
	sum := sha256.Sum256([]byte(key))
	return store.Key{ID: "key_demo_" + kind, Kind: kind, Prefix: key, Hash: hex.EncodeToString(sum[:]), CreatedAt: now}
}

// switchDemoKeys lets the well-known keys of an existing project work, or not.
func (s *System) switchDemoKeys(ctx context.Context, p store.Project) error {
	changed := false
	for i := range p.Keys {
		k := &p.Keys[i]
		if known := k.Prefix == DemoWriteKey || k.Prefix == DemoReadKey; known && s.Demo != (k.RevokedAt == 0) {
			changed, k.RevokedAt = true, 0
			if !s.Demo {
				k.RevokedAt = event.TimeOf(time.Now())
			}
		}
	}
	if !changed {
		return nil
	}
	return s.Store.UpdateProject(ctx, p)
}
