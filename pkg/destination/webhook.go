package destination

import (
	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/secret"
)

// Webhook has events posted as JSON, signed.
type Webhook struct {
	URL     string         `json:"url"`
	Secrets []secret.Value `json:"secrets"` // each signs, so that they can be rotated
	Batch   int            `json:"batch"`   // most events in a request
}

func (w *Webhook) read(p *ask.Params) {
	w.URL = webAddress(p, "url", "")
	w.Batch = p.Int("batch", 500, 1, 5000)
	w.Secrets = readSecrets(p, "secrets", 5)
}

func (w *Webhook) secrets() (all []Secret) {
	for i := range w.Secrets {
		all = append(all, Secret{"secrets", &w.Secrets[i]})
	}
	return all
}
