package enrich

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
)

// place sets country, region and city. It looks the whole address up, before
// the project's policy cuts it.
func (en *Enricher) place(v *Visit, e *event.Event) {
	if en.geo == nil {
		return
	}
	if !v.located {
		v.location, v.located = en.geo.Place(v.Address), true
	}
	e.Country, e.Region, e.City = v.location.Country, v.location.Region, v.location.City
}

// Place is where an address is used.
type Place struct {
	Country string // ISO 3166-1 alpha-2
	Region  string // English name of the largest division, else its ISO code
	City    string // English name
}

// Geo is an MMDB file of networks and their places. The file is read into
// memory whole: one that is mapped would crash the program when it is
// overwritten in place.
type Geo struct {
	path string
	file atomic.Pointer[geoFile]
}

type geoFile struct {
	places   *maxminddb.Reader
	size     int64
	modified time.Time
}

// OpenGeo reads the file at path.
func OpenGeo(path string) (*Geo, error) {
	g := &Geo{path: path}
	return g, g.Reload()
}

// Reload reads the file again if it has changed. On an error the old one stays in use.
func (g *Geo) Reload() error {
	info, err := os.Stat(g.path)
	if err != nil {
		return fmt.Errorf("geo file: %w", err)
	}
	if old := g.file.Load(); old != nil && old.size == info.Size() && old.modified.Equal(info.ModTime()) {
		return nil
	}
	bytes, err := os.ReadFile(g.path)
	if err != nil {
		return fmt.Errorf("geo file: %w", err)
	}
	places, err := maxminddb.OpenBytes(bytes)
	if err != nil {
		return fmt.Errorf("geo file %s: %w", g.path, err)
	}
	g.file.Store(&geoFile{places, info.Size(), info.ModTime()})
	return nil
}

// Watch reloads the file when it changes, until ctx ends.
func (g *Geo) Watch(ctx context.Context, every time.Duration, log *zap.Logger) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := g.Reload(); err != nil {
				log.Warn("geo file not reloaded; the old one stays in use", zap.Error(err))
			}
		}
	}
}

// Place looks an address up; what is not known is empty.
func (g *Geo) Place(a netip.Addr) Place {
	if !a.IsValid() {
		return Place{}
	}
	var found struct {
		Country      named   `maxminddb:"country"`
		Subdivisions []named `maxminddb:"subdivisions"`
		City         named   `maxminddb:"city"`
	}
	if err := g.file.Load().places.Lookup(a).Decode(&found); err != nil {
		return Place{} // a damaged record: the event matters more than its place
	}
	place := Place{Country: found.Country.Code, City: found.City.Names.English}
	if len(found.Subdivisions) > 0 {
		largest := found.Subdivisions[0]
		if place.Region = largest.Names.English; place.Region == "" {
			place.Region = largest.Code
		}
	}
	return place
}

type named struct {
	Code  string `maxminddb:"iso_code"`
	Names struct {
		English string `maxminddb:"en"`
	} `maxminddb:"names"`
}
