package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// BenchmarkSegments reads one column of 90 days, as a start does, from among six.
func BenchmarkSegments(b *testing.B) {
	s, err := sqlite.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := rand.NewChaCha8([32]byte{})
	const size = 370_000
	for day := range int32(90) {
		var segments []store.Segment
		for i := range 6 {
			data := make([]byte, size)
			_, _ = r.Read(data) // never fails
			segments = append(segments, store.Segment{Project: "demo", Day: day, Name: fmt.Sprint("column:", i), Data: data})
		}
		if err := s.PutSegments(b.Context(), segments); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(90 * size)
	for b.Loop() {
		n := 0
		err := s.Segments(b.Context(), "demo", 0, 89, []string{"column:3"}, func(g *store.Segment) error {
			n += len(g.Data)
			return nil
		})
		if err != nil || n != 90*size {
			b.Fatalf("read %d bytes: %v", n, err)
		}
	}
}
