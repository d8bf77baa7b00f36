package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

func bulk(codes ...int) mongo.BulkWriteException {
	var e mongo.BulkWriteException
	for i, code := range codes {
		e.WriteErrors = append(e.WriteErrors, mongo.BulkWriteError{WriteError: mongo.WriteError{Index: i, Code: code}})
	}
	return e
}

func TestKinds(t *testing.T) {
	unwritten := bulk()
	unwritten.WriteConcernError = &mongo.WriteConcernError{Code: 64}
	both := bulk(11000)
	both.WriteConcernError = unwritten.WriteConcernError
	for name, test := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"not primary":             {mongo.CommandError{Code: 10107}, fault.Unavailable},
		"stepped down":            {mongo.CommandError{Code: 189}, fault.Unavailable},
		"shutting down":           {mongo.CommandError{Code: 91}, fault.Unavailable},
		"interrupted":             {mongo.CommandError{Code: 11600}, fault.Unavailable},
		"write concern":           {unwritten, fault.Unavailable},
		"write concern and dups":  {both, fault.Unavailable},
		"retryable by its label":  {mongo.CommandError{Code: 1, Labels: []string{"RetryableWriteError"}}, fault.Unavailable},
		"network":                 {mongo.CommandError{Labels: []string{"NetworkError"}}, fault.Unavailable},
		"connection":              {topology.ConnectionError{Wrapped: errors.New("refused")}, fault.Unavailable},
		"no server":               {topology.ServerSelectionError{Wrapped: errors.New("none")}, fault.Unavailable},
		"our own time limit":      {fmt.Errorf("x: %w", context.DeadlineExceeded), fault.Unavailable},
		"disconnected":            {mongo.ErrClientDisconnected, fault.Unavailable},
		"disk full at one write":  {bulk(14031), fault.Unavailable},
		"too large":               {driver.ErrDocumentTooLarge, fault.Invalid},
		"too large, says server":  {bulk(10334), fault.Invalid},
		"bad BSON":                {bulk(22), fault.Invalid},
		"unauthorized":            {mongo.CommandError{Code: 13}, fault.Unknown},
		"a code nobody knows":     {bulk(99999), fault.Unknown},
		"transient and permanent": {bulk(22, 91), fault.Unavailable},
	} {
		if got := fault.KindOf(kind(t.Context(), "try", test.err)); got != test.want {
			t.Errorf("%s: got kind %d, want %d", name, got, test.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := kind(ended, "try", mongo.CommandError{Code: 91}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by the caller: got %v", err)
	}
	if err := kind(t.Context(), "try", store.ErrConflict); err != store.ErrConflict {
		t.Errorf("conflict: got %v", err)
	}
}

func TestOnlyDuplicatesAreAnswers(t *testing.T) {
	places, err := duplicatesOf(fmt.Errorf("insert: %w", bulk(11000, 11000)))
	if err != nil || len(places) != 2 || places[1] != 1 {
		t.Errorf("two duplicates: got %v, %v", places, err)
	}
	unwritten := bulk(11000)
	unwritten.WriteConcernError = &mongo.WriteConcernError{Code: 64}
	for _, err := range []error{bulk(11000, 91), unwritten, errors.New("else")} {
		if _, got := duplicatesOf(err); got == nil {
			t.Errorf("%v is taken for duplicates only", err)
		}
	}
}

func TestAnUnreachableServerIsOneClearLineWithoutThePassword(t *testing.T) {
	cfg := Config{URI: "mongodb://reader:s%40cret@127.0.0.1:1/?directConnection=true", Database: "x", Start: 200 * time.Millisecond, Timeout: time.Second}
	_, err := Open(t.Context(), cfg)
	if err == nil {
		t.Fatal("opened a store on port 1")
	}
	said := err.Error()
	if strings.Contains(said, "cret") || strings.Contains(said, "\n") || !strings.Contains(said, "127.0.0.1:1") || !strings.Contains(said, "refused") {
		t.Errorf("got %q", said)
	}
}

func TestValidateNamesEveryWrongVariableAndNoPassword(t *testing.T) {
	good := Config{URI: "mongodb://u:p@h1,h2/?replicaSet=rs", Database: "maidian", Start: 1, Timeout: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{URI: "mongodb://u:se:cr@et@h1:notaport/", Database: "a.b"}
	err := bad.Validate()
	if err == nil {
		t.Fatal("took a wrong configuration")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, name := range []string{"MONGODB_URI", "MONGODB_DATABASE", "MONGODB_START_TIMEOUT", "MONGODB_TIMEOUT"} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], name) {
			t.Errorf("line %d is not about %s: %q", i, name, lines)
		}
	}
	if strings.Contains(err.Error(), "se:cr") {
		t.Errorf("shows the password: %v", err)
	}
}
