// Package secret keeps what others must not read: tokens of channels, passwords
// of destinations. The store holds them only encrypted, or holds merely the name
// of the environment variable or file that has them.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/maidian/maidian/pkg/fault"
)

// Config is where keys and secrets come from, from the environment.
type Config struct {
	Keys    []string `envconfig:"MAIDIAN_SECRET_KEY" desc:"keys that encrypt the secrets in the store, base64 of 32 bytes each; the first encrypts, all decrypt; empty: secrets come from variables and files only"`
	KeyFile string   `envconfig:"MAIDIAN_SECRET_KEY_FILE" desc:"file with the keys, in place of MAIDIAN_SECRET_KEY"`
	Dir     string   `envconfig:"MAIDIAN_SECRET_DIR" default:"/run/secrets" desc:"the folder whose files channels and destinations may take secrets from"`
}

// EnvPrefix begins the names of the variables that hold secrets. Others are
// not read: who may name one could have any of the service's own sent away.
const EnvPrefix = "CREDENTIAL_"

const (
	keySize = 32
	format  = "v1" // of what is sealed: AES-256-GCM
	maxFile = 64 << 10
)

// Validate says everything that is wrong.
func (c *Config) Validate() error {
	if len(c.Keys) > 0 && c.KeyFile != "" {
		return errors.New("MAIDIAN_SECRET_KEY and MAIDIAN_SECRET_KEY_FILE: set one of the two")
	}
	if _, err := parseKeys(c.Keys); err != nil {
		return fmt.Errorf("MAIDIAN_SECRET_KEY %w", err)
	}
	return nil
}

// Keys seal and reveal.
type Keys struct {
	keys []key // the first seals
	dir  string
}

type key struct {
	id   string // so that what is sealed says with which
	aead cipher.AEAD
}

// Open reads the keys.
func Open(c Config) (*Keys, error) {
	texts := c.Keys
	if c.KeyFile != "" {
		content, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("MAIDIAN_SECRET_KEY_FILE: %w", err)
		}
		texts = strings.FieldsFunc(string(content), func(r rune) bool { return strings.ContainsRune(", \r\n\t", r) })
		if len(texts) == 0 {
			return nil, fmt.Errorf("MAIDIAN_SECRET_KEY_FILE: there is no key in %s", c.KeyFile)
		}
	}
	keys, err := parseKeys(texts)
	if err != nil {
		return nil, fmt.Errorf("secret key %w", err)
	}
	return &Keys{keys, c.Dir}, nil
}

// parseKeys never shows a key in its errors.
func parseKeys(texts []string) ([]key, error) {
	var keys []key
	for i, text := range texts {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil || len(raw) != keySize {
			return nil, fmt.Errorf("%d of %d must be the base64 of %d bytes, such as \"openssl rand -base64 32\" makes", i+1, len(texts), keySize)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(raw)
		keys = append(keys, key{hex.EncodeToString(sum[:4]), aead})
	}
	return keys, nil
}

// Seal encrypts what was given in clear, for one place: owner is the key of the
// record and the name of the field, so that what is sealed for one cannot be
// moved to another. What names a variable or file stays as it is.
func (k *Keys) Seal(owner string, v Value) (Value, error) {
	if v.clear == "" {
		return v, v.check()
	}
	if len(k.keys) == 0 {
		return Value{}, fault.New(fault.Invalid, "no_secret_key",
			`this service has no MAIDIAN_SECRET_KEY to keep secrets with: set one, or give {"env": "%s…"} or {"file": "…"}`, EnvPrefix)
	}
	first := k.keys[0]
	nonce := make([]byte, first.aead.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	sealed := first.aead.Seal(nonce, nonce, []byte(v.clear), []byte(owner))
	return Value{Sealed: format + "." + first.id + "." + base64.RawStdEncoding.EncodeToString(sealed)}, nil
}

// Reveal is the secret in clear. Variables and files are read each time, so
// that a new one counts at once.
func (k *Keys) Reveal(owner string, v Value) (string, error) {
	switch {
	case v.clear != "":
		return v.clear, nil
	case v.Env != "":
		return fromEnv(v)
	case v.File != "":
		return k.fromFile(v)
	}
	return k.decrypt(owner, v.Sealed)
}

func fromEnv(v Value) (string, error) {
	if err := v.check(); err != nil {
		return "", err
	}
	text, ok := os.LookupEnv(v.Env)
	if !ok || text == "" {
		return "", fmt.Errorf("the variable %s is not set", v.Env)
	}
	return text, nil
}

// fromFile reads within the folder, whatever links there are in it.
func (k *Keys) fromFile(v Value) (string, error) {
	root, err := os.OpenRoot(k.dir)
	if err != nil {
		return "", fmt.Errorf("MAIDIAN_SECRET_DIR: %w", err)
	}
	defer func() { _ = root.Close() }()
	name := v.File
	if filepath.IsAbs(name) {
		if name, err = filepath.Rel(k.dir, name); err != nil {
			return "", fmt.Errorf("%s is not in MAIDIAN_SECRET_DIR", v.File)
		}
	}
	info, err := root.Stat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		err = fmt.Errorf("%s must be a file of at most %d bytes", v.File, maxFile)
	}
	if err != nil {
		return "", err
	}
	content, err := root.ReadFile(name)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		return "", fmt.Errorf("the file %s is empty", v.File)
	}
	return text, nil
}

func (k *Keys) decrypt(owner, sealed string) (string, error) {
	parts := strings.Split(sealed, ".")
	if len(parts) != 3 || parts[0] != format {
		return "", errors.New("the secret is not sealed in a way that is known here")
	}
	for _, key := range k.keys {
		if key.id != parts[1] {
			continue
		}
		raw, err := base64.RawStdEncoding.DecodeString(parts[2])
		if n := key.aead.NonceSize(); err == nil && len(raw) >= n {
			if clear, err := key.aead.Open(nil, raw[:n], raw[n:], []byte(owner)); err == nil {
				return string(clear), nil
			}
		}
		return "", errors.New("the secret was sealed for another place, or damaged")
	}
	return "", fmt.Errorf("the key %s that sealed the secret is not among MAIDIAN_SECRET_KEY", parts[1])
}
