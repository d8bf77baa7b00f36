// Package auth tells who is asking: the holder of a project's read key, or of
// the admin key. Keys are known by their SHA-256 only; projects are few, so a
// snapshot of all of them is kept in memory and read again every second.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// Every is how often the projects are read again. A key that is
// revoked may go on for 60 s, a new project must be known within 1 s.
const Every = time.Second

// What keys begin with, so that people and error messages can tell them apart.
const (
	WritePrefix = "wk_"
	ReadPrefix  = "rk_"
	AdminPrefix = "ak_"
)

// Lister gives all projects with their keys.
type Lister interface {
	Projects(ctx context.Context) ([]store.Project, error)
}

// Keys answers who holds a key. It is safe for use by many goroutines.
type Keys struct {
	projects Lister
	admin    string // SHA-256 of the admin key, hexadecimal; empty: nobody administers

	refresh  sync.Mutex // one reading at a time, so that an older one never replaces a newer
	snapshot atomic.Pointer[snapshot]
}

// snapshot is all projects as they were at one moment.
type snapshot struct {
	projects map[string]store.Project
	keys     map[string]holder // by SHA-256
}

type holder struct {
	project string
	key     store.Key
}

// New knows nobody until Refresh has succeeded once. adminKey is the key
// itself or its SHA-256 in hexadecimal; empty switches administration off.
func New(projects Lister, adminKey string) *Keys {
	k := &Keys{projects: projects, admin: adminHash(adminKey)}
	k.snapshot.Store(&snapshot{})
	return k
}

func adminHash(key string) string {
	if key == "" || IsHash(key) {
		return strings.ToLower(key)
	}
	return Hash(key)
}

// Hash is the form in which a key is kept: SHA-256, hexadecimal.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// IsHash says whether s looks like what Hash returns.
func IsHash(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}

// Refresh reads the projects again. On an error the last snapshot stays: an
// analyst with a good key should not be turned away because the store is slow.
func (k *Keys) Refresh(ctx context.Context) error {
	k.refresh.Lock()
	defer k.refresh.Unlock()
	projects, err := k.projects.Projects(ctx)
	if err != nil {
		return fmt.Errorf("read projects: %w", err)
	}
	k.snapshot.Store(index(projects))
	return nil
}

func index(projects []store.Project) *snapshot {
	s := &snapshot{projects: make(map[string]store.Project, len(projects)), keys: map[string]holder{}}
	for _, p := range projects {
		s.projects[p.ID] = p
		for _, key := range p.Keys {
			s.keys[key.Hash] = holder{p.ID, key}
		}
	}
	return s
}

// Follow refreshes every so often until ctx ends; report hears of each failure.
func (k *Keys) Follow(ctx context.Context, every time.Duration, report func(error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := k.Refresh(ctx); err != nil && ctx.Err() == nil {
				report(err)
			}
		}
	}
}

// Project is the project of that id.
func (k *Keys) Project(id string) (store.Project, error) {
	p, known := k.snapshot.Load().projects[id]
	if !known {
		return store.Project{}, fault.New(fault.NotFound, "unknown_project", "there is no project %q", id)
	}
	return p, nil
}

// Reader is the project whose data this key may read. The admin key reads
// every project, so it has to say which one: project is what the request named.
func (k *Keys) Reader(key, project string) (store.Project, error) {
	if k.isAdmin(key) {
		if project == "" {
			return store.Project{}, fault.Field("project", "the admin key reads every project: say which one with project=…")
		}
		return k.Project(project)
	}
	s := k.snapshot.Load()
	h, err := s.holder(key)
	switch {
	case err != nil:
		return store.Project{}, err
	case h.key.Kind != store.ReadKey:
		return store.Project{}, fault.New(fault.Forbidden, "wrong_key", "this is a %s key; reading needs the project's read key (%s…)", h.key.Kind, ReadPrefix)
	case project != "" && project != h.project:
		return store.Project{}, fault.New(fault.Forbidden, "wrong_project", "this key reads another project than %q", project)
	}
	return s.projects[h.project], nil
}

// Admin is nil for the admin key.
func (k *Keys) Admin(key string) error {
	if k.isAdmin(key) {
		return nil
	}
	if k.admin == "" {
		return fault.New(fault.Forbidden, "admin_disabled", "administration is switched off: the service runs without QUERY_ADMIN_KEY")
	}
	if _, err := k.snapshot.Load().holder(key); err != nil {
		return err
	}
	return fault.New(fault.Forbidden, "wrong_key", "this is a project's key; administration needs the admin key (%s…)", AdminPrefix)
}

func (k *Keys) isAdmin(key string) bool {
	return k.admin != "" && key != "" && subtle.ConstantTimeCompare([]byte(Hash(key)), []byte(k.admin)) == 1
}

// holder finds a key that works. Looking it up by its hash leaks nothing about other keys.
func (s *snapshot) holder(key string) (holder, error) {
	if key == "" {
		return holder{}, fault.New(fault.Unauthorized, "missing_key", "send the key in the header X-API-Key")
	}
	h, known := s.keys[Hash(key)]
	if !known {
		return holder{}, fault.New(fault.Unauthorized, "unknown_key", "nobody knows this key")
	}
	if h.key.RevokedAt != 0 {
		return holder{}, fault.New(fault.Unauthorized, "revoked_key", "this key was revoked at %s", h.key.RevokedAt)
	}
	return h, nil
}

// IsAdminKey says whether s can be configured as the admin key: itself, or its hash.
func IsAdminKey(s string) bool {
	return IsHash(s) || (strings.HasPrefix(s, AdminPrefix) && len(s) > len(AdminPrefix))
}
