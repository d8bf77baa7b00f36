package mongo

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// Config says where MongoDB is and how long to wait for it.
type Config struct {
	URI      string        `envconfig:"MONGODB_URI" default:"mongodb://127.0.0.1:27017" desc:"connection string of MongoDB; it may hold user, password, TLS and replica set options"`
	Database string        `envconfig:"MONGODB_DATABASE" default:"maidian" desc:"database that holds the collections events, batches, segments, dead_letters, projects, jobs, tallies and records"`
	Start    time.Duration `envconfig:"MONGODB_START_TIMEOUT" default:"10s" desc:"how long a start waits for the server before it gives up"`
	Timeout  time.Duration `envconfig:"MONGODB_TIMEOUT" default:"20s" desc:"longest that one operation may take, the wait for a new primary included"`
}

// Validate says everything that is wrong with the configuration, never
// showing a password.
func (c *Config) Validate() (err error) {
	if e := options.Client().ApplyURI(c.URI).Validate(); e != nil {
		err = errors.Join(err, fmt.Errorf("MONGODB_URI must be a mongodb:// or mongodb+srv:// address: %s", redact(c.URI, e)))
	}
	if c.Database == "" || len(c.Database) > 63 || strings.ContainsAny(c.Database, "/\\. \"$*<>:|?\x00") {
		err = errors.Join(err, fmt.Errorf(`MONGODB_DATABASE must have 1 to 63 characters and none of /\. "$*<>:|?, got %q`, c.Database))
	}
	if c.Start <= 0 {
		err = errors.Join(err, fmt.Errorf("MONGODB_START_TIMEOUT must be above 0, got %v", c.Start))
	}
	if c.Timeout <= 0 {
		err = errors.Join(err, fmt.Errorf("MONGODB_TIMEOUT must be above 0, got %v", c.Timeout))
	}
	return err
}

// client is what the connection string says, save what our promises rest on:
// writes that survive the loss of a server, and reads that see them.
func (c *Config) client() *options.ClientOptions {
	journal := true
	return options.Client().ApplyURI(c.URI).
		SetAppName("maidian").
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}).
		SetReadPreference(readpref.Primary()).
		SetConnectTimeout(min(c.Timeout, 5*time.Second)).
		SetServerSelectionTimeout(c.Timeout).
		SetTimeout(c.Timeout)
}

// redact takes the connection string and its password out of an error's text.
func redact(uri string, err error) string {
	text := strings.ReplaceAll(err.Error(), uri, "the address")
	_, rest, _ := strings.Cut(uri, "://")
	user, _, hasUser := cutLast(rest, "@")
	if _, password, ok := strings.Cut(user, ":"); hasUser && ok && password != "" {
		text = strings.ReplaceAll(text, password, "***")
		if plain, err := url.PathUnescape(password); err == nil {
			text = strings.ReplaceAll(text, plain, "***")
		}
	}
	return strings.Join(strings.Fields(text), " ")
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
