package destination

import (
	"regexp"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/secret"
)

// Loads is how events are gathered for a warehouse, which takes few large files
// better than many small ones.
type Loads struct {
	Every  Duration `json:"every"`  // how long events are gathered for a load
	Events int      `json:"events"` // most in one
}

func (l *Loads) read(p *ask.Params, every string) {
	l.Every = duration(p, "every", every, event.Time(24*3600*1000))
	l.Events = p.Int("events", 20_000, 1, 200_000)
}

// BigQuery has events loaded into a table by jobs, as Parquet.
type BigQuery struct {
	Loads
	ProjectID string       `json:"project_id"`
	Dataset   string       `json:"dataset"`
	Table     string       `json:"table"`
	Location  string       `json:"location"` // of the dataset; empty: US or EU, as BigQuery finds it
	Key       secret.Value `json:"key"`      // of a service account: the JSON file that Google gives
}

func (b *BigQuery) read(p *ask.Params) {
	b.Loads.read(p, "2m") // a table takes 1,500 loads a day
	b.ProjectID = p.Required("project_id", "the id of the Google Cloud project")
	b.Dataset, b.Table = identifier(p, "dataset", ""), identifier(p, "table", "")
	b.Location = p.String("location", "")
	b.Key = readSecret(p, "key", true)
}

func (b *BigQuery) secrets() []Secret { return []Secret{{"key", &b.Key}} }

// Snowflake has events put on a table's stage and copied into the table, as
// JSON whose names are matched with those of the columns.
type Snowflake struct {
	Loads
	Account   string       `json:"account"` // such as "myorg-account123"
	User      string       `json:"user"`
	Key       secret.Value `json:"key"` // the user's private key, PKCS #8 in PEM
	Role      string       `json:"role"`
	Warehouse string       `json:"warehouse"`
	Database  string       `json:"database"`
	Schema    string       `json:"schema"`
	Table     string       `json:"table"`
}

// An account is part of a host name: whoever may name it must not name another host.
var accountPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,100}(\.[A-Za-z0-9-]{1,40}){0,3}$`)

func (s *Snowflake) read(p *ask.Params) {
	s.Loads.read(p, "1m")
	s.Account = p.Required("account", `the account's identifier, such as "myorg-account123"`)
	if s.Account != "" && !accountPattern.MatchString(s.Account) {
		p.Fail("account", `must be an identifier such as "myorg-account123" or "xy12345.eu-central-1", got %q`, s.Account)
	}
	s.User = p.Required("user", "the name of a user with a public key")
	s.Key = readSecret(p, "key", true)
	s.Role = p.String("role", "")
	s.Warehouse = identifier(p, "warehouse", "")
	s.Database, s.Schema, s.Table = identifier(p, "database", ""), identifier(p, "schema", "PUBLIC"), identifier(p, "table", "")
}

func (s *Snowflake) secrets() []Secret { return []Secret{{"key", &s.Key}} }
