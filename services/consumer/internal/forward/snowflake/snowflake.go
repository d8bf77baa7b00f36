// Package snowflake puts files on a table's stage and copies them into the
// table, by Snowflake's own driver. It is apart from the other destinations
// because that driver brings the clients of three clouds.
package snowflake

import (
	"compress/gzip"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/snowflakedb/gosnowflake"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/consumer/internal/forward"
)

// Warehouse is Snowflake as a destination.
func Warehouse() forward.Warehouse { return forward.Warehouse{Type: "snowflake", Open: open} }

// table is loaded from its own stage. Snowflake remembers for 64 days which
// files it has copied into a table, and copies none twice that has not changed;
// a file that is on the stage stays as it is there. So files are taken off the
// stage only when those of a later group come: then nobody sends them again.
type table struct {
	settings *destination.Snowflake
	db       *sql.DB
	group    string   // which the files on the stage are of
	staged   []string // their names
}

func open(_ context.Context, a *forward.Account) (forward.Loader, error) {
	s := a.Settings.(*destination.Snowflake)
	key, err := privateKey(a.Key)
	if err != nil {
		return nil, err
	}
	config := gosnowflake.Config{
		Account: s.Account, User: s.User, Role: s.Role, Warehouse: s.Warehouse, Database: s.Database, Schema: s.Schema,
		Authenticator: gosnowflake.AuthTypeJwt, PrivateKey: key,
		Transporter: a.Web, Application: "Maidian", DisableTelemetry: true, DisableQueryContextCache: true,
		MaxRetryCount: 1, // who forwards tries again, and says so
	}
	if _, err := gosnowflake.DSN(&config); err != nil { // fills in what follows from the account
		return nil, err
	}
	db := sql.OpenDB(gosnowflake.NewConnector(gosnowflake.SnowflakeDriver{}, config))
	db.SetMaxOpenConns(1)
	return &table{settings: s, db: db}, nil
}

func privateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the key is not in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the key is no PKCS #8 that is not encrypted: %w", err)
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key must be an RSA one, got %T", key)
	}
	return private, nil
}

// folder is where files lie on the stage.
const folder = "maidian"

// Load puts a file on the stage and copies it.
func (t *table) Load(ctx context.Context, id string, content []byte) error {
	if err := t.clear(ctx, groupOf(id)); err != nil {
		return answered("clear the stage", err)
	}
	name := id + ".json.gz"
	if err := t.put(ctx, name, content); err != nil {
		return err
	}
	err := t.do(ctx, fmt.Sprintf("COPY INTO %s FROM '@%s/%s' FILES = ('%s') FILE_FORMAT = (TYPE = JSON COMPRESSION = GZIP) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE ON_ERROR = ABORT_STATEMENT",
		t.name(), t.stage(), folder, name))
	if err != nil {
		return answered("copy a file into the table", err)
	}
	return nil
}

// put puts a file on the stage unless it is there. The driver takes files from
// the disk: what it does with streams without compression sends them empty.
func (t *table) put(ctx context.Context, name string, content []byte) error {
	place, err := os.MkdirTemp("", "snowflake")
	if err != nil {
		return err
	}
	defer os.RemoveAll(place)
	path := filepath.Join(place, name)
	if err := pack(path, content); err != nil {
		return err
	}
	if err := t.do(ctx, fmt.Sprintf("PUT 'file://%s' '@%s/%s' AUTO_COMPRESS = FALSE SOURCE_COMPRESSION = GZIP OVERWRITE = FALSE", path, t.stage(), folder)); err != nil {
		return answered("put a file on the stage", err)
	}
	t.staged = append(t.staged, name)
	return nil
}

// do has a statement done; what it returns is in the server's history, too.
func (t *table) do(ctx context.Context, statement string) error {
	rows, err := t.db.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	return errors.Join(rows.Err(), rows.Close())
}

// groupOf a batch's id is all but its last part, its number in the group.
func groupOf(id string) string { return id[:max(0, strings.LastIndexByte(id, '-'))] }

// clear takes the files of another group off the stage.
func (t *table) clear(ctx context.Context, group string) error {
	for ; t.group != group && len(t.staged) > 0; t.staged = t.staged[1:] {
		if err := t.do(ctx, fmt.Sprintf("REMOVE '@%s/%s/%s'", t.stage(), folder, t.staged[0])); err != nil {
			return err
		}
	}
	t.group = group
	return nil
}

// name is the table's; identifiers are letters, digits and "_", see pkg/destination.
func (t *table) name() string {
	return t.settings.Database + "." + t.settings.Schema + "." + t.settings.Table
}

// stage is the table's own.
func (t *table) stage() string {
	return t.settings.Database + "." + t.settings.Schema + ".%" + t.settings.Table
}

// pack writes content so that it is the same bytes every time.
func pack(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := gzip.NewWriter(f)
	_, err = w.Write(content)
	return errors.Join(err, w.Close(), f.Close())
}

// answered tells what Snowflake has said: data exceptions (SQLSTATE 22 and 23)
// are in the rows, all else can be put right.
func answered(doing string, err error) error {
	kind := fault.Unavailable
	if said := (*gosnowflake.SnowflakeError)(nil); errors.As(err, &said) && (strings.HasPrefix(said.SQLState, "22") || strings.HasPrefix(said.SQLState, "23")) {
		kind = fault.Invalid
	}
	return &fault.Error{Kind: kind, Code: "not_loaded", Message: doing + ": " + err.Error()}
}

func (t *table) Close() error { return t.db.Close() }
