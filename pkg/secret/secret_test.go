package secret

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/fault"
)

func keyOf(letter string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, keySize)))
}

func open(t *testing.T, c Config) *Keys {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	k, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSealedIsRevealedInItsPlaceOnly(t *testing.T) {
	k := open(t, Config{Keys: []string{keyOf("a")}})
	sealed, err := k.Seal("channel/shop/ops/token", Clear("xoxb-1"))
	if err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(sealed)
	if err != nil || strings.Contains(string(written), "xoxb") {
		t.Fatalf("got %s, %v", written, err)
	}
	var read Value
	if err := json.Unmarshal(written, &read); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Reveal("channel/shop/ops/token", read); got != "xoxb-1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, elsewhere := range []string{"channel/blog/ops/token", "channel/shop/ops/secret", ""} {
		if got, err := k.Reveal(elsewhere, read); err == nil {
			t.Errorf("in %q: got %q, want an error", elsewhere, got)
		}
	}
	again, _ := k.Seal("channel/shop/ops/token", Clear("xoxb-1"))
	if again == sealed {
		t.Error("the same is sealed the same twice: it tells who has the same secret")
	}
}

func TestDamagedSecrets(t *testing.T) {
	k := open(t, Config{Keys: []string{keyOf("a")}})
	sealed, err := k.Seal("o", Clear("token"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed.Sealed {
		damaged := []byte(sealed.Sealed)
		damaged[i] ^= 1
		if got, err := k.Reveal("o", Value{Sealed: string(damaged)}); err == nil && got != "token" || err == nil && i < len(damaged)-1 {
			t.Errorf("byte %d: got %q, want an error", i, got)
		}
	}
	for _, text := range []string{"", "v1", "v1..", "v1." + k.keys[0].id + ".", "v2.a.b"} {
		if _, err := k.Reveal("o", Value{Sealed: text}); err == nil {
			t.Errorf("%q: want an error", text)
		}
	}
}

func TestKeysAreRotated(t *testing.T) {
	old := open(t, Config{Keys: []string{keyOf("a")}})
	sealed, err := old.Seal("o", Clear("token"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(keyOf("b")+"\n"+keyOf("a")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	both := open(t, Config{KeyFile: file})
	if got, err := both.Reveal("o", sealed); got != "token" || err != nil {
		t.Errorf("with both keys: got %q, %v", got, err)
	}
	anew, err := both.Seal("o", Clear("token"))
	if err != nil {
		t.Fatal(err)
	}
	next := open(t, Config{Keys: []string{keyOf("b")}})
	if got, err := next.Reveal("o", anew); got != "token" || err != nil {
		t.Errorf("sealed with the first key: got %q, %v", got, err)
	}
	if _, err := next.Reveal("o", sealed); err == nil || !strings.Contains(err.Error(), "MAIDIAN_SECRET_KEY") {
		t.Errorf("without the old key: got %v, want the key to be named", err)
	}
}

func TestWrongKeys(t *testing.T) {
	for name, c := range map[string]Config{
		"too short":      {Keys: []string{"c2hvcnQ="}},
		"no base64":      {Keys: []string{keyOf("a"), "%%%"}},
		"key and file":   {Keys: []string{keyOf("a")}, KeyFile: "f"},
		"file not there": {KeyFile: filepath.Join(t.TempDir(), "none")},
	} {
		err := c.Validate()
		if err == nil {
			_, err = Open(c)
		}
		if err == nil || !strings.Contains(err.Error(), "MAIDIAN_SECRET_KEY") || strings.Contains(err.Error(), "c2hvcnQ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := open(t, Config{}).Seal("o", Clear("x")); fault.KindOf(err) != fault.Invalid {
		t.Errorf("without a key: got %v, want it refused", err)
	}
}

func TestSecretsFromElsewhere(t *testing.T) {
	t.Setenv("CREDENTIAL_SLACK", "from the environment")
	t.Setenv("MONGODB_URI", "not for channels")
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	for path, content := range map[string]string{filepath.Join(dir, "slack"): "from a file\n", outside: "outside", filepath.Join(dir, "empty"): "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("slack", filepath.Join(dir, "current")); err != nil {
		t.Fatal(err)
	}
	k := open(t, Config{Dir: dir})
	tests := map[string]struct {
		value Value
		want  string
	}{
		"a variable":               {Value{Env: "CREDENTIAL_SLACK"}, "from the environment"},
		"a variable not set":       {Value{Env: "CREDENTIAL_NONE"}, ""},
		"another variable":         {Value{Env: "MONGODB_URI"}, ""},
		"a file":                   {Value{File: "slack"}, "from a file"},
		"a file by its path":       {Value{File: filepath.Join(dir, "slack")}, "from a file"},
		"a link within":            {Value{File: "current"}, "from a file"},
		"a file not there":         {Value{File: "none"}, ""},
		"an empty file":            {Value{File: "empty"}, ""},
		"the folder":               {Value{File: "."}, ""},
		"a path out":               {Value{File: "../outside"}, ""},
		"a path to elsewhere":      {Value{File: outside}, ""},
		"a link out":               {Value{File: "link"}, ""},
		"a file of the machine":    {Value{File: "/etc/passwd"}, ""},
		"a device that never ends": {Value{File: "/dev/zero"}, ""},
	}
	for name, tt := range tests {
		got, err := k.Reveal("o", tt.value)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, tt.want)
		}
	}
}

func TestReading(t *testing.T) {
	tests := map[string]struct {
		body  string
		want  string // of the first value: what is shown
		field string
	}{
		"in clear":          {`{"token": "abc"}`, "map[set:true]", ""},
		"a variable":        {`{"token": {"env": "CREDENTIAL_X"}}`, "map[env:CREDENTIAL_X]", ""},
		"a file":            {`{"token": {"file": "x"}}`, "map[file:x]", ""},
		"kept":              {`{"token": {"set": true}}`, "map[set:true]", ""},
		"several":           {`{"token": ["abc", {"file": "x"}]}`, "map[set:true]", ""},
		"missing":           {`{}`, "", ""},
		"empty":             {`{"token": ""}`, "", "token"},
		"a number":          {`{"token": 3}`, "", "token"},
		"sealed by hand":    {`{"token": {"sealed": "v1.a.b"}}`, "", "token"},
		"two at once":       {`{"token": {"env": "CREDENTIAL_X", "file": "x"}}`, "", "token"},
		"another variable":  {`{"token": {"env": "PATH"}}`, "", "token"},
		"one of them wrong": {`{"token": ["abc", ""]}`, "", "token[1]"},
		"too many":          {`{"token": ["a", "b", "c"]}`, "", "token"},
	}
	for name, tt := range tests {
		p, err := ask.ParamsFromJSON([]byte(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, v := range ReadAll(p, "token", 2) {
			if i == 0 {
				got = fmt.Sprint(v.Shown())
			}
		}
		field := ""
		if wrong, ok := p.Done().(*fault.Error); ok {
			field = wrong.Field
		}
		if got != tt.want || field != tt.field {
			t.Errorf("%s: got %q and a mistake in %q, want %q and %q", name, got, field, tt.want, tt.field)
		}
	}
}

func TestWhatIsInClearIsNeverWritten(t *testing.T) {
	if data, err := json.Marshal(map[string]Value{"token": Clear("abc")}); err == nil {
		t.Errorf("got %s, want an error", data)
	}
	if text := fmt.Sprintf("%v %+v", Clear("abc").Shown(), Clear("abc").Shown()); strings.Contains(text, "abc") {
		t.Errorf("shown as %s", text)
	}
}
