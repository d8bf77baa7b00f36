// Package enrich adds to a client's event what the server knows: who sent it,
// from where, with what, and by which way the visitor came.
//
// A step is a method in a file of its own and a line in steps. What depends
// only on a text that most events of a request share (user agent, page,
// referrer) is worked out once for the request and remembered in its Visit.
package enrich

import (
	"net/netip"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/maidian/maidian/pkg/event"
)

type step = func(*Enricher, *Visit, *event.Event)

// steps run in this order: later ones read what earlier ones set.
var steps = []step{
	(*Enricher).identity,
	(*Enricher).clock,
	(*Enricher).fromHeaders,
	(*Enricher).address,
	(*Enricher).place,
	(*Enricher).userAgent,
	(*Enricher).page,
	(*Enricher).campaign,
	(*Enricher).channel,
	(*Enricher).currency,
}

// Enricher holds what the steps look things up in. It is safe for concurrent use.
type Enricher struct {
	agents  *Agents
	sources *Sources
	spam    map[string]bool
	geo     *Geo // nil when no file is configured
	counts  counts
	panics  prometheus.Counter
	log     *zap.Logger
}

// New makes an enricher; geo may be nil.
func New(metrics prometheus.Registerer, log *zap.Logger, geo *Geo) (*Enricher, error) {
	agents, err := NewAgents()
	if err != nil {
		return nil, err
	}
	sources, err := readSources(sourceList)
	if err != nil {
		return nil, err
	}
	panics := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "maidian_collector_enrichment_panics_total",
		Help: "Steps of enrichment that panicked; their events are accepted without what the step would have added.",
	})
	metrics.MustRegister(panics)
	return &Enricher{
		agents: agents, sources: sources, spam: readDomains(spamList), geo: geo,
		counts: newCounts(metrics), panics: panics, log: log.Named("enrich"),
	}, nil
}

// Visit is what is known about one request, the same for all its events.
type Visit struct {
	Project    string
	Key        string // id of the write key
	Currency   string // of the project; purchases without one get it
	IPPolicy   string // of the project
	ReceivedAt event.Time
	SentAt     event.Time // by the client's clock; zero when it did not say
	Address    netip.Addr // the visitor's, whole
	UserAgent  string     // these three from the request's headers
	Referrer   string
	Origin     string
	SDK        string // which program sent it, from a header

	stored   string // the address as the project's policy leaves it
	location Place
	located  bool

	agentOf     string
	agentHeader bool
	agent       Agent
	pageOf      string
	pageIs      page
	campaignIs  campaign
	referrerOf  string
	referrerIs  page
	sourceOf    Kind
	siteOf      [2]string
	sameSite    bool
}

// Enrich completes one event of a request. A step that panics adds nothing to
// it: what a client sends is worth more than what we know about it, and the
// other events of the request are no part of this.
func (en *Enricher) Enrich(v *Visit, e *event.Event) {
	for rest := steps; len(rest) > 0; {
		rest = en.through(rest, v, e)
	}
}

// through takes the event through steps, and returns those behind one that panicked.
func (en *Enricher) through(steps []step, v *Visit, e *event.Event) (rest []step) {
	at := 0
	defer func() {
		if p := recover(); p != nil {
			en.panics.Inc()
			en.log.Error("a step of enrichment panicked", zap.Any("panic", p), zap.String("event_id", e.EventID), zap.ByteString("stack", debug.Stack()))
			rest = steps[at+1:]
		}
	}()
	for ; at < len(steps); at++ {
		steps[at](en, v, e)
	}
	return nil
}
