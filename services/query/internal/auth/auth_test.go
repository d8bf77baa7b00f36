package auth_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/auth"
)

// projects is a Lister whose answer a test can change.
type projects struct {
	mu   sync.Mutex
	list []store.Project
	err  error
}

func (p *projects) Projects(context.Context) ([]store.Project, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list), p.err
}

func (p *projects) set(list []store.Project, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list, p.err = list, err
}

func key(kind, key string, revoked int64) store.Key {
	return store.Key{ID: key, Kind: kind, Hash: auth.Hash(key), RevokedAt: event.Time(revoked)}
}

func two() *projects {
	return &projects{list: []store.Project{
		{ID: "shop", Keys: []store.Key{key(store.ReadKey, "rk_shop", 0), key(store.WriteKey, "wk_shop", 0), key(store.ReadKey, "rk_old", 1)}},
		{ID: "blog", Keys: []store.Key{key(store.ReadKey, "rk_blog", 0)}},
	}}
}

func TestReader(t *testing.T) {
	tests := map[string]struct {
		key, project string
		want         string
		kind         fault.Kind
	}{
		"a read key reads its project":                {key: "rk_shop", want: "shop"},
		"and may name it":                             {key: "rk_shop", project: "shop", want: "shop"},
		"but no other":                                {key: "rk_shop", project: "blog", kind: fault.Forbidden},
		"a write key reads nothing":                   {key: "wk_shop", kind: fault.Forbidden},
		"a revoked key is no key":                     {key: "rk_old", kind: fault.Unauthorized},
		"an unknown key":                              {key: "rk_none", kind: fault.Unauthorized},
		"no key":                                      {kind: fault.Unauthorized},
		"the admin key reads any project":             {key: "ak_1", project: "blog", want: "blog"},
		"the admin key has to name one":               {key: "ak_1", kind: fault.Invalid},
		"the admin key and a project that is not one": {key: "ak_1", project: "none", kind: fault.NotFound},
	}
	keys := auth.New(two(), "ak_1")
	if err := keys.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := keys.Reader(tt.key, tt.project)
			if got.ID != tt.want || fault.KindOf(err) != tt.kind {
				t.Errorf("got %q, %v (kind %d), want %q and kind %d", got.ID, err, fault.KindOf(err), tt.want, tt.kind)
			}
		})
	}
}

func TestAdmin(t *testing.T) {
	tests := map[string]struct {
		configured, key string
		want            fault.Kind
	}{
		"the key itself":               {"ak_1", "ak_1", 0},
		"configured as its hash":       {auth.Hash("ak_1"), "ak_1", 0},
		"the hash is not the key":      {auth.Hash("ak_1"), auth.Hash("ak_1"), fault.Unauthorized},
		"another key":                  {"ak_1", "ak_2", fault.Unauthorized},
		"a read key":                   {"ak_1", "rk_shop", fault.Forbidden},
		"nothing sent":                 {"ak_1", "", fault.Unauthorized},
		"nothing configured":           {"", "ak_1", fault.Forbidden},
		"nothing configured, and sent": {"", "", fault.Forbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			keys := auth.New(two(), tt.configured)
			if err := keys.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := keys.Admin(tt.key); fault.KindOf(err) != tt.want || (err == nil) != (tt.want == 0) {
				t.Errorf("got %v, want kind %d", err, tt.want)
			}
		})
	}
}

func TestNewAndRevokedKeysAreSeenWithinOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := two()
		keys := auth.New(list, "")
		go keys.Follow(t.Context(), auth.Every, func(error) {})

		time.Sleep(auth.Every)
		synctest.Wait()
		if _, err := keys.Reader("rk_shop", ""); err != nil {
			t.Fatalf("a good key after one refresh: %v", err)
		}
		list.set([]store.Project{{ID: "shop", Keys: []store.Key{key(store.ReadKey, "rk_shop", 1), key(store.ReadKey, "rk_new", 0)}}}, nil)
		time.Sleep(auth.Every)
		synctest.Wait()
		if _, err := keys.Reader("rk_shop", ""); fault.KindOf(err) != fault.Unauthorized {
			t.Errorf("a revoked key: got %v, want it refused", err)
		}
		if _, err := keys.Reader("rk_new", ""); err != nil {
			t.Errorf("a new key: got %v, want it to work", err)
		}
	})
}

func TestAStoreThatIsAwayLeavesTheKeysAsTheyWere(t *testing.T) {
	list := two()
	keys := auth.New(list, "")
	if err := keys.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	list.set(nil, errors.New("away"))
	if err := keys.Refresh(t.Context()); err == nil {
		t.Error("got nil, want the store's error")
	}
	if _, err := keys.Reader("rk_shop", ""); err != nil {
		t.Errorf("got %v, want the key to work on", err)
	}
}
