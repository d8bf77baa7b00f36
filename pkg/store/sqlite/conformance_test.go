package sqlite_test

import (
	"context"
	"testing"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
	"github.com/maidian/maidian/pkg/store/storetest"
)

func openStore(ctx context.Context, dir string) (store.Store, error) { return sqlite.Open(ctx, dir) }

func TestMain(m *testing.M) { storetest.Main(m, openStore) }

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{Place: func(t testing.TB) string { return t.TempDir() }, Open: openStore})
}

func TestConformanceInMemory(t *testing.T) {
	storetest.Run(t, storetest.Harness{Place: func(testing.TB) string { return sqlite.Memory }, Open: openStore, Volatile: true})
}
