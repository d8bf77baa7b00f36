package destination

import (
	"strings"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/secret"
)

// Layout is how events lie in files: by day and hour, so that a warehouse reads
// only those it wants.
type Layout struct {
	Format string   `json:"format"`
	Prefix string   `json:"prefix"`
	Every  Duration `json:"every"`  // how long events are gathered for a file
	Events int      `json:"events"` // most in a file
}

// Formats of files.
const (
	NDJSON  = "ndjson"
	Parquet = "parquet"
)

func (l *Layout) read(p *ask.Params) {
	l.Format = p.OneOf("format", NDJSON, NDJSON, Parquet)
	l.Prefix = strings.Trim(p.String("prefix", ""), "/")
	for part := range strings.SplitSeq(l.Prefix, "/") {
		if part == "." || part == ".." || strings.ContainsAny(part, "\\\x00") {
			p.Fail("prefix", `must be a path without ".", ".." and "\", got %q`, l.Prefix)
		}
	}
	l.Every = duration(p, "every", "1m", event.Time(24*3600*1000))
	l.Events = p.Int("events", 20_000, 1, 500_000)
}

// Files has events written into files below the folder that the consumer allows.
type Files struct{ Layout }

func (f *Files) read(p *ask.Params) { f.Layout.read(p) }
func (f *Files) secrets() []Secret  { return nil }

// S3 has the same files put into a bucket.
type S3 struct {
	Layout
	Endpoint  string       `json:"endpoint"` // host, and port if wanted
	Region    string       `json:"region"`
	Bucket    string       `json:"bucket"`
	Insecure  bool         `json:"insecure"` // plain http
	AccessKey secret.Value `json:"access_key"`
	SecretKey secret.Value `json:"secret_key"`
}

func (s *S3) read(p *ask.Params) {
	s.Layout.read(p)
	s.Endpoint = p.String("endpoint", "s3.amazonaws.com")
	s.Region = p.String("region", "us-east-1")
	s.Bucket = p.Required("bucket", "the name of the bucket")
	s.Insecure = p.Bool("insecure", false)
	s.AccessKey, s.SecretKey = readSecret(p, "access_key", true), readSecret(p, "secret_key", true)
}

func (s *S3) secrets() []Secret {
	return []Secret{{"access_key", &s.AccessKey}, {"secret_key", &s.SecretKey}}
}
