package destination

import (
	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/secret"
)

// Postgres has events copied into a table.
type Postgres struct {
	URL    secret.Value `json:"url"` // "postgres://user:password@host/database"; a secret because of the password in it
	Schema string       `json:"schema"`
	Table  string       `json:"table"`
	Batch  int          `json:"batch"`
}

func (g *Postgres) read(p *ask.Params) {
	g.URL = readSecret(p, "url", true)
	g.Schema = identifier(p, "schema", "public")
	g.Table = identifier(p, "table", "")
	g.Batch = p.Int("batch", 2000, 1, 50_000)
}

func (g *Postgres) secrets() []Secret { return []Secret{{"url", &g.URL}} }
