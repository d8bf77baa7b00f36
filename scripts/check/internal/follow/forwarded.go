package follow

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"maidian-check/internal/receiver"
	"maidian-check/internal/traffic"
	"maidian-check/internal/verdict"
	"maidian-check/internal/watch"
)

// posted: each stored event was brought at least once and as it is stored, for
// the first time in the order of the journal, and nothing else was brought.
func (c *Case) posted(project string) {
	done := map[string]bool{}
	var newest *Event
	repeats, repeating := 0, false
	for i := range c.Arrivals {
		a := &c.Arrivals[i]
		if a.Path != watch.Forwarded+project {
			continue
		}
		c.signed(a)
		took, fresh := c.taken(a), false
		c.sums.Posted += took
		for _, sent := range a.Events {
			e := c.stored[project+"/"+sent.ID]
			if e == nil {
				c.found(verdict.Forwarded, "%s/%s was posted and is not stored", project, sent.ID)
				continue
			}
			if e.Hash != sent.Hash {
				c.found(verdict.Forwarded, "%s/%s was posted otherwise than it is stored", project, sent.ID)
			}
			if e.first == 0 {
				e.first, fresh = i+1, true
				newest = c.inOrder(newest, e)
			}
			if took == 1 && done[e.ID] {
				c.sums.Again++
			}
			done[e.ID] = done[e.ID] || took == 1
		}
		if !fresh && !repeating && len(a.Events) > 0 {
			repeats++
		}
		repeating = !fresh
	}
	c.twice(project, repeats)
	for _, e := range c.Events[project] {
		if !done[e.ID] {
			c.found(verdict.Forwarded, "%s/%s was stored %s and not posted", project, e.ID, clock(e.Stored))
		}
	}
}

// seen is how long after its time an entry of the journal may be there to be
// seen, milliseconds: two are written at the same time, and one is held up.
const seen = 5000

// inOrder compares an event that comes for the first time with the one that did
// so before it, and is the later of the two.
func (c *Case) inOrder(before, e *Event) *Event {
	if before == nil {
		return e
	}
	late := e.Written+seen+c.Skew < before.Written || e.Batch == before.Batch && e.Position < before.Position
	if late {
		c.found(verdict.Order, "%s/%s, number %d of a message written %s, came after %s, number %d of one written %s",
			e.Project, e.ID, e.Position, clock(e.Written), before.ID, before.Position, clock(before.Written))
	}
	if e.Written < before.Written {
		return before
	}
	return e
}

// twice: who was interrupted may bring once more what he brought before, in one
// go. Two that forward at the same time do so by turns for as long as they both live.
func (c *Case) twice(project string, repeats int) {
	unmoved := 0
	for i := range c.Arrivals {
		if a := &c.Arrivals[i]; a.Path == watch.Forwarded+project && a.Status != 200 {
			unmoved++
		}
	}
	breaks := c.Breaks + c.Holders[project]
	if c.Breaks >= 0 && repeats > 2*breaks+unmoved {
		c.found(verdict.Twice, "%s: what had been posted was begun anew %d times, which %d interruptions and %d requests without success cannot have caused", project, repeats, breaks, unmoved)
	}
}

// File is one that was written by a destination.
type File struct {
	Name   string // below the folder, with "/"
	Events []receiver.Event
	Wrong  string // it cannot be read
	hours  []string
}

// ReadFiles reads all that stand under their names.
func ReadFiles(folder string) (files []File, err error) {
	root := os.DirFS(folder)
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		files = append(files, readFile(name, content))
		return nil
	})
	return files, err
}

func readFile(name string, content []byte) File {
	f := File{Name: name}
	for line := range strings.Lines(string(content)) {
		fields, err := receiver.Normal([]byte(line))
		if err != nil {
			f.Wrong = fmt.Sprintf("%s in %.100q", err, line)
			return f
		}
		id, _ := fields["event_id"].(string)
		hour := ""
		if at, ok := fields["timestamp"].(interface{ Int64() (int64, error) }); ok {
			ms, _ := at.Int64()
			hour = time.UnixMilli(ms).UTC().Format("day=2006-01-02/hour=15")
		}
		f.Events, f.hours = append(f.Events, receiver.Event{ID: id, Hash: traffic.Hash(fields)}), append(f.hours, hour)
	}
	return f
}

// filed: each stored event is in exactly one file, as it is stored, in the
// folder of its hour; within a file they are in the order of the journal.
func (c *Case) filed(project string) {
	for i := range c.Files {
		f := &c.Files[i]
		if !strings.HasPrefix(f.Name, project+"/") {
			continue
		}
		if f.Wrong != "" {
			c.found(verdict.Files, "%s: %s", f.Name, f.Wrong)
		}
		var newest *Event
		for at, sent := range f.Events {
			e := c.stored[project+"/"+sent.ID]
			switch {
			case e == nil:
				c.found(verdict.Files, "%s: %s is not stored", f.Name, sent.ID)
				continue
			case e.Hash != sent.Hash:
				c.found(verdict.Files, "%s: %s is not as it is stored", f.Name, sent.ID)
			case path.Dir(f.Name) != project+"/"+f.hours[at]:
				c.found(verdict.Files, "%s: %s is of %s", f.Name, sent.ID, f.hours[at])
			}
			e.files++
			newest = c.inOrder(newest, e)
			c.sums.Filed++
		}
	}
	for _, e := range c.Events[project] {
		if e.files != 1 {
			c.found(verdict.Files, "%s/%s, stored %s, is in files %d times", project, e.ID, clock(e.Stored), e.files)
		}
	}
}

// targets: none refused anything, and none is behind.
func (c *Case) targets(project string) {
	for i := range c.Targets[project] {
		t := &c.Targets[project][i]
		if p := &t.Progress; p.Refused > 0 || p.Lag > 0 {
			c.found(verdict.Forwarded, "%s/%s: %d events are refused, the oldest that waits does so for %.0f s: %s", project, t.Definition.ID, p.Refused, p.Lag, p.LastError)
		}
	}
}
