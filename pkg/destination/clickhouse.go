package destination

import (
	"regexp"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/secret"
)

// ClickHouse has events inserted over its HTTP interface.
type ClickHouse struct {
	URL      string       `json:"url"`
	Database string       `json:"database"`
	Table    string       `json:"table"`
	Username string       `json:"username"`
	Password secret.Value `json:"password,omitzero"`
	Batch    int          `json:"batch"`
}

func (c *ClickHouse) read(p *ask.Params) {
	c.URL = webAddress(p, "url", "")
	c.Database = identifier(p, "database", "default")
	c.Table = identifier(p, "table", "")
	c.Username = p.String("username", "default")
	c.Password = readSecret(p, "password", false)
	c.Batch = p.Int("batch", 10_000, 1, 100_000)
}

func (c *ClickHouse) secrets() []Secret { return []Secret{{"password", &c.Password}} }

var identifierPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

func identifier(p *ask.Params, name, missing string) string {
	s := p.String(name, missing)
	if !identifierPattern.MatchString(s) {
		p.Fail(name, "must be 1 to 63 of A-Z, a-z, 0-9 and _, and not begin with a digit, got %q", s)
	}
	return s
}
