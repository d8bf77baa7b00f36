package rabbit

import (
	"fmt"
	"math/rand/v2"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// fakeChannel is what a broker makes of acknowledgements: it knows every tag
// that it has delivered and that is still open.
type fakeChannel struct {
	open    map[uint64]bool
	answers int
	again   map[uint64]bool
}

func (c *fakeChannel) Ack(tag uint64, multiple bool) error {
	c.answers++
	if !c.open[tag] {
		return fmt.Errorf("PRECONDITION_FAILED - unknown delivery tag %d", tag)
	}
	delete(c.open, tag)
	for t := range c.open {
		if multiple && t < tag {
			delete(c.open, t)
		}
	}
	return nil
}

func (c *fakeChannel) Nack(tag uint64, multiple, _ bool) error {
	c.again[tag] = true
	return c.Ack(tag, multiple)
}

// Whatever is settled in whatever order, the broker closes exactly what was
// settled, although tags above may have been delivered that nobody has read.
func TestAcknowledgementsSettleExactlyWhatIsMeant(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		ch := &fakeChannel{open: map[uint64]bool{}, again: map[uint64]bool{}}
		in := &intake{l: &link{gone: make(chan struct{})}, answers: ch, settled: map[uint64]struct{}{}}
		n := uint64(1 + r.IntN(60))
		want := map[uint64]bool{}
		order := make([]amqp.Delivery, 0, n)
		for tag := uint64(1); tag <= n; tag++ {
			ch.open[tag], want[tag] = true, true
			order = append(order, amqp.Delivery{DeliveryTag: tag})
		}
		for swaps := r.IntN(20); swaps > 0; swaps-- {
			i, j := r.IntN(len(order)), r.IntN(len(order))
			order[i], order[j] = order[j], order[i]
		}
		for len(order) > 0 {
			k := 1 + r.IntN(min(10, len(order)))
			again := r.IntN(k + 1)
			for _, d := range order[:k] {
				delete(want, d.DeliveryTag)
			}
			if !in.Settle(order[again:k], order[:again]) {
				t.Fatalf("seed %d: an acknowledgement was refused by the broker", seed)
			}
			for _, d := range order[:again] {
				if !ch.again[d.DeliveryTag] {
					t.Fatalf("seed %d: message %d was acknowledged instead of given back", seed, d.DeliveryTag)
				}
			}
			order = order[k:]
			if fmt.Sprint(ch.open) != fmt.Sprint(want) {
				t.Fatalf("seed %d: open at the broker are %v, want %v", seed, ch.open, want)
			}
		}
	}
}

func TestContiguousDeliveriesAreAcknowledgedWithOneAnswer(t *testing.T) {
	ch := &fakeChannel{open: map[uint64]bool{}, again: map[uint64]bool{}}
	in := &intake{l: &link{gone: make(chan struct{})}, answers: ch, settled: map[uint64]struct{}{}}
	var group []amqp.Delivery
	for tag := uint64(1); tag <= 100; tag++ {
		ch.open[tag] = true
		group = append(group, amqp.Delivery{DeliveryTag: tag})
	}
	if !in.Settle(group, nil) || ch.answers != 1 || len(ch.open) != 0 {
		t.Errorf("%d answers left %d messages open, want 1 and 0", ch.answers, len(ch.open))
	}
}

func TestValidateNamesTheVariableAndWhatWouldBeRight(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		ok     bool
	}{
		"defaults":                   {func(*Config) {}, true},
		"several nodes":              {func(c *Config) { c.URL = "amqp://a:b@n1:5672/v, amqps://a:b@n2/v" }, true},
		"one node of two unreadable": {func(c *Config) { c.URL = "amqp://n1,n2" }, false},
		"parts with odd characters":  {func(c *Config) { c.Password, c.VHost = "p@ss/w:rd%", "/odd vhost/" }, true},
		"port of kubernetes":         {func(c *Config) { c.Port = "tcp://10.0.0.7:5672" }, false},
		"no port":                    {func(c *Config) { c.Port = "amqp" }, false},
		"host with a path":           {func(c *Config) { c.Host = "rabbit/x" }, false},
		"queue of the broker":        {func(c *Config) { c.Queue = "amq.mine" }, false},
		"no sessions":                {func(c *Config) { c.Sessions = -1 }, false},
		"no window":                  {func(c *Config) { c.Window = 70000 }, false},
		"no room":                    {func(c *Config) { c.MaxMessages = -5 }, false},
		"management without a host":  {func(c *Config) { c.ManagementURL = "rabbit:15672" }, false},
	} {
		cfg := Config{}.WithDefaults()
		c.change(&cfg)
		if err := cfg.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: got %v, want valid: %t", name, err, c.ok)
		}
	}
}

func TestPartsOfAnAddressSurviveTheirOddCharacters(t *testing.T) {
	cfg := Config{Username: "us er", Password: "p@ss/w:rd%", VHost: "/odd vhost/", Host: "::1"}.WithDefaults()
	urls, err := cfg.urls()
	if err != nil {
		t.Fatal(err)
	}
	u, err := amqp.ParseURI(urls[0])
	if err != nil {
		t.Fatal(err)
	}
	if u.Username != cfg.Username || u.Password != cfg.Password || u.Vhost != cfg.VHost || u.Host != cfg.Host {
		t.Errorf("got %+v, want the parts of %+v", u, cfg)
	}
}
