package feed

import (
	"fmt"
	"testing"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/pkg/store/sqlite"
)

// BenchmarkProjects is one second of twenty projects that are followed, with two
// hundred entries a second among them: five looks by each, one of which goes
// back the whole overlap for one in 25, and what is new in it.
func BenchmarkProjects(b *testing.B) {
	const projects, perSecond, looks = 20, 200, 5
	for _, name := range []string{"alone", "shared"} {
		b.Run(name, func(b *testing.B) {
			s, err := sqlite.Open(b.Context(), sqlite.Memory)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			now, written := time.UnixMilli(1767225600000), 0
			clock := func() time.Time { return now }
			write := func(n int) {
				entries := make([]store.Batch, n)
				for i := range entries {
					entries[i] = store.Batch{ID: fmt.Sprintf("%036d", written), Project: fmt.Sprint("project-", written%projects), WrittenAt: event.TimeOf(now), Stored: 20}
					written++
				}
				if err := s.RecordBatches(b.Context(), entries); err != nil {
					b.Fatal(err)
				}
			}
			for range 300 { // what an overlap holds
				now = now.Add(time.Second)
				write(perSecond)
			}
			shared := NewShared(s, DefaultOverlap, 100*time.Millisecond, clock)
			feeds := make([]*Feed, projects)
			for i := range feeds {
				project, from := fmt.Sprint("project-", i), At(event.TimeOf(now))
				if feeds[i] = OfProject(s, project, from, DefaultOverlap); name == "shared" {
					feeds[i] = shared.Feed(project, from)
				}
				feeds[i].now = clock
			}
			read := func() (n int) {
				for _, f := range feeds {
					entries, err := f.Next(b.Context(), 1<<20)
					if err != nil {
						b.Fatal(err)
					}
					n += len(entries)
				}
				return n
			}
			read()
			for b.Loop() {
				got := 0
				for range looks {
					now = now.Add(time.Second / looks)
					write(perSecond / looks)
					got += read()
				}
				if got != perSecond {
					b.Fatalf("got %d entries, want %d", got, perSecond)
				}
			}
		})
	}
}
