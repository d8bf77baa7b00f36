package access

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

type table struct {
	mu       sync.Mutex
	projects []store.Project
	err      error
}

func (s *table) Projects(context.Context) ([]store.Project, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.projects, s.err
}

func (s *table) set(projects []store.Project, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.projects, s.err = projects, err
}

func project(keys ...store.Key) []store.Project { return []store.Project{{ID: "p", Keys: keys}} }

var (
	good    = store.Key{ID: "1", Kind: store.WriteKey, Hash: Hash("wk_a")}
	revoked = store.Key{ID: "1", Kind: store.WriteKey, Hash: Hash("wk_a"), RevokedAt: 1}
	reader  = store.Key{ID: "2", Kind: store.ReadKey, Hash: Hash("rk_a")}
	broken  = store.Key{ID: "3", Kind: store.WriteKey, Hash: "zz"}
	longer  = store.Key{ID: "4", Kind: store.WriteKey, Hash: Hash("x") + "00"}
)

func TestWriters(t *testing.T) {
	source := &table{projects: project(good, reader, broken, longer)}
	k := New(source)
	if _, err := k.Writer("wk_a"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("before the first reading: %v", err)
	}
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]fault.Kind{
		"wk_a": fault.Unknown, "": fault.Unauthorized, "wk_b": fault.Unauthorized, "rk_a": fault.Unauthorized,
		good.Hash: fault.Unauthorized, "zz": fault.Unauthorized,
	} {
		h, err := k.Writer(key)
		if fault.KindOf(err) != want || (err == nil) != (h != nil) {
			t.Errorf("%q: got %v", key, err)
		}
	}
}

func TestKeysFollowTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &table{projects: project()}
		k := New(source)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go k.Follow(ctx, time.Second, zap.NewNop())
		expect := func(what string, want fault.Kind) {
			t.Helper()
			time.Sleep(1001 * time.Millisecond)
			if _, err := k.Writer("wk_a"); fault.KindOf(err) != want {
				t.Errorf("%s: got %v", what, err)
			}
		}
		expect("none", fault.Unauthorized)
		source.set(project(good), nil)
		expect("created", fault.Unknown)
		source.set(nil, errors.New("away"))
		expect("the store is away", fault.Unknown)
		source.set(project(revoked), nil)
		expect("revoked", fault.Unauthorized)
	})
}

func TestOrigins(t *testing.T) {
	tests := []struct {
		allowed []string
		origin  string
		want    bool
	}{
		{nil, "https://any.example", true},
		{[]string{"https://shop.example"}, "", true},
		{[]string{"https://shop.example"}, "https://shop.example", true},
		{[]string{"https://Shop.Example/"}, "https://shop.example", true},
		{[]string{"https://shop.example:443"}, "https://shop.example", true},
		{[]string{"https://shop.example"}, "http://shop.example", false},
		{[]string{"https://shop.example"}, "https://shop.example:8443", false},
		{[]string{"https://shop.example"}, "https://shop.example.evil", false},
		{[]string{"https://shop.example"}, "https://www.shop.example", false},
		{[]string{"https://*.shop.example"}, "https://www.shop.example", true},
		{[]string{"https://*.shop.example"}, "https://a.b.shop.example", true},
		{[]string{"https://*.shop.example"}, "https://shop.example", false},
		{[]string{"https://*.shop.example"}, "https://evilshop.example", false},
		{[]string{"https://*.shop.example"}, "http://www.shop.example", false},
		{[]string{"https://*.shop.example:8443"}, "https://www.shop.example:8443", true},
		{[]string{"*"}, "https://any.example", true},
		{[]string{"https://shop.example"}, "null", false},
		{[]string{"https://a.example", "http://localhost:3000"}, "http://localhost:3000", true},
	}
	for _, test := range tests {
		h := Holder{origins: parseOrigins(test.allowed)}
		if err := h.CheckOrigin(test.origin); (err == nil) != test.want {
			t.Errorf("%v, %q: got %v", test.allowed, test.origin, err)
		}
	}
}
