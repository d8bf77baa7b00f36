package snowflake

import (
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/consumer/internal/forward"
)

// fake answers as the driver wants a Snowflake server to: login by a signed
// token, statements by query requests, and a stage that is a folder. Of SQL it
// knows the three statements that are used, exactly. Its copies keep load
// metadata as the documentation of COPY INTO says.
type fake struct {
	t     testing.TB
	url   *url.URL
	key   *rsa.PrivateKey
	stage string

	mu         sync.Mutex
	rows       []string
	loaded     map[string]bool
	statements []string
	trouble    func(statement string) (code, sqlState string)
}

func newFake(t testing.TB) *fake {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, key: key, stage: t.TempDir(), loaded: map[string]bool{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url, _ = url.Parse(server.URL)
	return f
}

// RoundTrip brings what is for the account here.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" || r.URL.Hostname() != "org-one.snowflakecomputing.com" {
		return nil, fmt.Errorf("asked %s", r.URL)
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = f.url.Scheme, f.url.Host
	return http.DefaultTransport.RoundTrip(r)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := func(data any) {
		json.NewEncoder(w).Encode(map[string]any{"data": data, "success": true, "code": nil, "message": nil})
	}
	switch r.URL.Path {
	case "/session/v1/login-request":
		f.login(r)
		answer(map[string]any{
			"token": "granted", "masterToken": "master", "validityInSeconds": 3600, "masterValidityInSeconds": 14400, "sessionId": 7,
			"parameters": []any{}, "sessionInfo": map[string]any{"databaseName": "WEB", "schemaName": "PUBLIC", "warehouseName": "WH", "roleName": "R"},
		})
	case "/queries/v1/query-request":
		if r.Header.Get("Authorization") != `Snowflake Token="granted"` {
			f.t.Errorf("a statement with %q", r.Header.Get("Authorization"))
		}
		var asked struct{ SQLText string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			f.t.Error(err)
		}
		f.statements = append(f.statements, asked.SQLText)
		if f.trouble != nil {
			if code, state := f.trouble(asked.SQLText); code != "" {
				json.NewEncoder(w).Encode(map[string]any{"success": false, "code": code, "message": "so it is", "data": map[string]any{"sqlState": state, "queryId": "q"}})
				return
			}
		}
		answer(f.do(asked.SQLText))
	default:
		answer(map[string]any{}) // the session ends
	}
}

// login checks the signed token: whose it is, and that the user's key has signed it.
func (f *fake) login(r *http.Request) {
	var asked struct {
		Data struct {
			Login         string `json:"LOGIN_NAME"`
			Authenticator string `json:"AUTHENTICATOR"`
			Token         string `json:"TOKEN"`
		} `json:"data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		f.t.Error(err)
	}
	parts := strings.Split(asked.Data.Token, ".")
	if len(parts) != 3 || asked.Data.Authenticator != "SNOWFLAKE_JWT" || r.URL.Query().Get("warehouse") != "WH" {
		f.t.Errorf("login with %+v, %s", asked.Data, r.URL.RawQuery)
		return
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if err := rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, sum[:], signature); err != nil || !strings.Contains(string(claims), `"sub":"ORG-ONE.LOADER"`) {
		f.t.Errorf("the token says %s: %v", claims, err)
	}
}

var (
	putting  = regexp.MustCompile(`^PUT 'file://(/[^']*/[A-Za-z0-9_-]+\.json\.gz)' '@WEB\.PUBLIC\.%EVENTS/maidian' AUTO_COMPRESS = FALSE SOURCE_COMPRESSION = GZIP OVERWRITE = FALSE$`)
	copying  = regexp.MustCompile(`^COPY INTO WEB\.PUBLIC\.EVENTS FROM '@WEB\.PUBLIC\.%EVENTS/maidian' FILES = \('([^']+)'\) FILE_FORMAT = \(TYPE = JSON COMPRESSION = GZIP\) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE ON_ERROR = ABORT_STATEMENT$`)
	removing = regexp.MustCompile(`^REMOVE '@WEB\.PUBLIC\.%EVENTS/maidian/([^'/]+)'$`)
)

func (f *fake) do(statement string) any {
	if found := putting.FindStringSubmatch(statement); found != nil {
		return map[string]any{
			"command": "UPLOAD", "operation": "Node", "src_locations": []string{found[1]}, "parallel": 1, "threshold": 200 << 20,
			"autoCompress": false, "overwrite": false, "sourceCompression": "gzip",
			"stageInfo": map[string]any{"locationType": "LOCAL_FS", "location": f.stage, "path": "maidian/"},
		}
	}
	result := [][]string{}
	if found := copying.FindStringSubmatch(statement); found != nil {
		result = append(result, []string{found[1], f.copy(found[1])})
	} else if found := removing.FindStringSubmatch(statement); found != nil {
		os.Remove(filepath.Join(f.stage, found[1]))
	} else {
		f.t.Errorf("asked to do %s", statement)
	}
	return map[string]any{
		"rowtype": []map[string]any{{"name": "file", "type": "text", "length": 1000}, {"name": "status", "type": "text", "length": 1000}},
		"rowset":  result, "total": len(result), "returned": len(result), "queryResultFormat": "json", "queryId": "q", "statementTypeId": 12544,
	}
}

func (f *fake) copy(name string) string {
	if f.loaded[name] {
		return "LOAD_SKIPPED"
	}
	file, err := os.Open(filepath.Join(f.stage, name))
	if err != nil {
		f.t.Error(err)
		return "LOAD_FAILED"
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		f.t.Error(err)
		return "LOAD_FAILED"
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		f.t.Error(err)
	}
	f.rows = append(f.rows, strings.Split(strings.TrimSpace(string(content)), "\n")...)
	f.loaded[name] = true
	return "LOADED"
}

func (f *fake) open() forward.Loader {
	f.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	settings := &destination.Snowflake{Account: "org-one", User: "loader", Warehouse: "WH", Database: "WEB", Schema: "PUBLIC", Table: "EVENTS"}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	loader, err := Warehouse().Open(f.t.Context(), &forward.Account{Settings: settings, Key: key, Web: f})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { loader.Close() })
	return loader
}

// onStage are the files that are there.
func (f *fake) onStage() (names []string) {
	files, err := os.ReadDir(f.stage)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, file := range files {
		names = append(names, file.Name())
	}
	return names
}

func TestAFileIsCopiedOnce(t *testing.T) {
	f := newFake(t)
	loader := f.open()
	for range 2 {
		if err := loader.Load(t.Context(), "g1-0", []byte("{\"a\":1}\n{\"a\":2}\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.open().Load(t.Context(), "g1-0", []byte("{\"a\":1}\n{\"a\":2}\n")); err != nil { // another process
		t.Fatal(err)
	}
	if err := loader.Load(t.Context(), "g1-1", []byte("{\"a\":3}\n")); err != nil {
		t.Fatal(err)
	}
	if got := f.onStage(); len(got) != 2 {
		t.Errorf("files of a group that may be sent again stay on the stage: got %v", got)
	}
	if err := loader.Load(t.Context(), "g2-0", []byte("{\"a\":4}\n")); err != nil {
		t.Fatal(err)
	}
	if got := f.onStage(); !slices.Equal(got, []string{"g2-0.json.gz"}) {
		t.Errorf("those of the group before are taken off: got %v", got)
	}
	if want := []string{`{"a":1}`, `{"a":2}`, `{"a":3}`, `{"a":4}`}; !slices.Equal(f.rows, want) {
		t.Errorf("got %v, want %v", f.rows, want)
	}
}

func TestWhoIsToBlame(t *testing.T) {
	for _, test := range []struct {
		code, state string
		want        fault.Kind
	}{
		{"100038", "22018", fault.Invalid},     // numeric value is not recognized
		{"100072", "22000", fault.Invalid},     // null in a column that has none
		{"002003", "42S02", fault.Unavailable}, // the table is not there
		{"000606", "57P03", fault.Unavailable}, // no warehouse is at work
	} {
		f := newFake(t)
		f.trouble = func(statement string) (string, string) {
			if strings.HasPrefix(statement, "COPY") {
				return test.code, test.state
			}
			return "", ""
		}
		loader := f.open()
		err := loader.Load(t.Context(), "g1-0", []byte("{}\n"))
		if fault.KindOf(err) != test.want || !strings.Contains(fmt.Sprint(err), "so it is") {
			t.Errorf("%s: got %v, want kind %d", test.code, err, test.want)
		}
		f.trouble = nil
		if err := loader.Load(t.Context(), "g1-0", []byte("{}\n")); err != nil || len(f.rows) != 1 {
			t.Errorf("%s, once it is put right: got %v and %v", test.code, err, slices.Collect(maps.Keys(f.loaded)))
		}
	}
}

func TestWrongKeys(t *testing.T) {
	for _, key := range []string{"", "text", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := Warehouse().Open(t.Context(), &forward.Account{Settings: &destination.Snowflake{Account: "a", User: "u"}, Key: key}); err == nil {
			t.Errorf("%q: got no error", key)
		}
	}
}
