// Package access tells which project a write key belongs to. Keys are known by
// their SHA-256 only; projects are few, so all of them are kept in memory and
// read again every half second.
package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// Projects gives all projects with their keys.
type Projects interface {
	Projects(ctx context.Context) ([]store.Project, error)
}

// Keys knows who may write. It is safe for concurrent use.
type Keys struct {
	source   Projects
	snapshot atomic.Pointer[map[[sha256.Size]byte]*Holder]
}

// Holder is whom a key belongs to.
type Holder struct {
	Project *store.Project
	Key     *store.Key
	origins origins
}

// New knows nobody until Refresh has succeeded once.
func New(source Projects) *Keys { return &Keys{source: source} }

// Refresh reads the projects again. On an error the last ones stay: a good key
// must not be turned away because the store is away.
func (k *Keys) Refresh(ctx context.Context) error {
	projects, err := k.source.Projects(ctx)
	if err != nil {
		return fmt.Errorf("read projects: %w", err)
	}
	holders := map[[sha256.Size]byte]*Holder{}
	for i := range projects {
		p := &projects[i]
		allowed := parseOrigins(p.Origins)
		for j := range p.Keys {
			hash, err := hex.DecodeString(p.Keys[j].Hash)
			if err != nil || len(hash) != sha256.Size {
				continue // no key has this hash
			}
			holders[[sha256.Size]byte(hash)] = &Holder{p, &p.Keys[j], allowed}
		}
	}
	k.snapshot.Store(&holders)
	return nil
}

// Follow refreshes every so often until ctx ends.
func (k *Keys) Follow(ctx context.Context, every time.Duration, log *zap.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := k.Refresh(attempt)
		cancel()
		switch {
		case err != nil && !failing && ctx.Err() == nil:
			log.Warn("projects cannot be read; the last known ones stay in use", zap.Error(err))
		case err == nil && failing:
			log.Info("projects can be read again")
		}
		failing = err != nil
	}
}

// Hash is the form in which a key is kept: SHA-256, hexadecimal.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Ready is nil once the projects have been read.
func (k *Keys) Ready() error {
	if k.snapshot.Load() == nil {
		f := fault.New(fault.Unavailable, "starting", "the projects have not been read yet; try again")
		f.RetryAfter = time.Second
		return f
	}
	return nil
}

// Writer is whom a write key belongs to. Looking the hash up says nothing by
// its time: to come closer to a stored hash one would have to invert SHA-256.
func (k *Keys) Writer(key string) (*Holder, error) {
	if err := k.Ready(); err != nil {
		return nil, err
	}
	if key == "" {
		return nil, fault.New(fault.Unauthorized, "no_key", "a write key is needed: in the X-API-Key header, as a bearer token, or as api_key in the body")
	}
	h := (*k.snapshot.Load())[sha256.Sum256([]byte(key))]
	switch {
	case h == nil:
		return nil, fault.New(fault.Unauthorized, "unknown_key", "nobody has this key")
	case h.Key.RevokedAt != 0:
		return nil, fault.New(fault.Unauthorized, "revoked_key", "this key has been revoked")
	case h.Key.Kind != store.WriteKey:
		return nil, fault.New(fault.Unauthorized, "wrong_key", "this is a %s key; sending needs the project's write key (wk_…)", h.Key.Kind)
	}
	return h, nil
}

// CheckOrigin is fault.Forbidden when the project names its origins and this
// is none of them. Servers send no origin.
func (h *Holder) CheckOrigin(origin string) error {
	if origin == "" || len(h.origins) == 0 || h.origins.allow(origin) {
		return nil
	}
	return fault.New(fault.Forbidden, "origin_not_allowed", "the project does not allow the origin %.200q", origin)
}
