package destination

import (
	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/secret"
)

// Kafka has events produced to a topic, each user's in their order.
type Kafka struct {
	Brokers  []string     `json:"brokers"`
	Topic    string       `json:"topic"`
	TLS      bool         `json:"tls"`
	SASL     string       `json:"sasl"` // "", plain, scram-sha-256 or scram-sha-512
	Username string       `json:"username"`
	Password secret.Value `json:"password,omitzero"`
	Batch    int          `json:"batch"`
}

func (k *Kafka) read(p *ask.Params) {
	k.Brokers = texts(p, "brokers", 100)
	if len(k.Brokers) == 0 {
		p.Fail("brokers", `are required: a list such as ["kafka-1:9092", "kafka-2:9092"]`)
	}
	k.Topic = p.Required("topic", "the name of the topic")
	k.TLS = p.Bool("tls", false)
	k.SASL = p.OneOf("sasl", "", "", "plain", "scram-sha-256", "scram-sha-512")
	k.Username = p.String("username", "")
	k.Password = readSecret(p, "password", k.SASL != "")
	k.Batch = p.Int("batch", 1000, 1, 50_000)
}

func (k *Kafka) secrets() []Secret { return []Secret{{"password", &k.Password}} }
