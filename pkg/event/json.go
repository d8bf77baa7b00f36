package event

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/maidian/maidian/pkg/fault"
)

// cursor reads JSON (RFC 8259) once, from left to right, without building
// anything: what it returns are substrings of its text. It is our own because
// the collector reads every event of every visitor, and a decoder that makes
// maps costs five times the rest of the request.
type cursor struct {
	s string
	i int

	halved bool // has passed half of a surrogate pair without the other
}

// maxNesting bounds recursion on hostile bodies; properties allow far less.
const maxNesting = 200

func (c *cursor) fail(format string, args ...any) error {
	return fault.New(fault.Invalid, "invalid_json", "at byte %d: %s", c.i, fmt.Sprintf(format, args...))
}

// next skips white space and returns the byte there without consuming it; 0 is the end.
func (c *cursor) next() byte {
	for ; c.i < len(c.s); c.i++ {
		if b := c.s[c.i]; b != ' ' && b != '\n' && b != '\t' && b != '\r' {
			return b
		}
	}
	return 0
}

// expect consumes b, or says what stands there instead.
func (c *cursor) expect(b byte) error {
	if got := c.next(); got != b {
		return c.fail("expected %q, got %s", b, c.here())
	}
	c.i++
	return nil
}

func (c *cursor) here() string {
	if c.i >= len(c.s) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(c.s[c.i:])
	return strconv.QuoteRune(r)
}

// end fails unless only white space is left.
func (c *cursor) end() error {
	if c.next() != 0 || c.i < len(c.s) {
		return c.fail("expected the end, got %s", c.here())
	}
	return nil
}

// object calls member for each key; member consumes the value.
func (c *cursor) object(member func(key string) error) error {
	if err := c.expect('{'); err != nil {
		return err
	}
	if c.next() == '}' {
		c.i++
		return nil
	}
	for {
		c.next()
		key, err := c.text()
		if err != nil {
			return err
		}
		if err := c.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		more, err := c.more('}')
		if !more {
			return err
		}
	}
}

// array calls element for each one; element consumes it.
func (c *cursor) array(element func(i int) error) error {
	if err := c.expect('['); err != nil {
		return err
	}
	if c.next() == ']' {
		c.i++
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return err
		}
		more, err := c.more(']')
		if !more {
			return err
		}
	}
}

// more consumes a comma (true) or the closing byte (false).
func (c *cursor) more(closing byte) (bool, error) {
	switch c.next() {
	case ',':
		c.i++
		return true, nil
	case closing:
		c.i++
		return false, nil
	}
	return false, c.fail("expected ',' or %q, got %s", closing, c.here())
}

// text consumes a string and returns its value, a substring unless it has escapes.
func (c *cursor) text() (string, error) {
	raw, escaped, err := c.quoted()
	if err != nil || !escaped {
		return raw, err
	}
	return unescape(raw), nil
}

// plain says for each byte that it stands for itself inside a JSON string.
var plain = func() (t [256]bool) {
	for b := 0x20; b < 256; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

// quoted consumes a string and returns what stands between its quotes.
func (c *cursor) quoted() (raw string, escaped bool, err error) {
	if c.i >= len(c.s) || c.s[c.i] != '"' {
		return "", false, c.fail("expected a string, got %s", c.here())
	}
	start := c.i + 1
	for i := start; i < len(c.s); i++ {
		b := c.s[i]
		if plain[b] {
			continue
		}
		switch {
		case b == '"':
			c.i = i + 1
			return c.s[start:i], escaped, nil
		case b == '\\':
			c.i, escaped = i, true
			n, err := c.escape()
			if err != nil {
				return "", false, err
			}
			i += n - 1
		default:
			c.i = i
			return "", false, c.fail("a control character must be written as \\u%04x", b)
		}
	}
	c.i = len(c.s)
	return "", false, c.fail("the string has no end")
}

// escape checks the escape sequence at the cursor and returns its length.
func (c *cursor) escape() (int, error) {
	rest := c.s[c.i:]
	if len(rest) < 2 {
		return 0, c.fail("the string has no end")
	}
	switch rest[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		r, ok := hex4(rest[2:])
		if !ok {
			return 0, c.fail("\\u needs four hexadecimal digits")
		}
		if !utf16.IsSurrogate(r) {
			return 6, nil
		}
		if _, whole := paired(r, rest[6:]); whole {
			return 12, nil
		}
		c.halved = true
		return 6, nil
	}
	return 0, c.fail("unknown escape %q", rest[:2])
}

// paired is the character that half of a surrogate pair makes with the escape
// behind it. A half alone means nothing: browsers send one where a script cut a
// text inside an emoji. It becomes U+FFFD, as with any encoder of UTF-8, and the
// event is kept.
func paired(half rune, rest string) (r rune, whole bool) {
	if len(rest) < 6 || rest[:2] != `\u` {
		return utf8.RuneError, false
	}
	low, ok := hex4(rest[2:])
	r = utf16.DecodeRune(half, low)
	return r, ok && r != utf8.RuneError
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil && s[0] != '+' && s[0] != '-'
}

// unescape resolves the escapes of a string that quoted has checked.
func unescape(raw string) string {
	var b strings.Builder
	b.Grow(len(raw))
	for {
		i := strings.IndexByte(raw, '\\')
		if i < 0 {
			b.WriteString(raw)
			return b.String()
		}
		b.WriteString(raw[:i])
		switch e := raw[i+1]; e {
		case 'u':
			r, _ := hex4(raw[i+2:])
			if i += 6; utf16.IsSurrogate(r) {
				var whole bool
				if r, whole = paired(r, raw[i:]); whole {
					i += 6
				}
			}
			b.WriteRune(r)
			raw = raw[i:]
			continue
		default:
			b.WriteByte(escapes[e])
		}
		raw = raw[i+2:]
	}
}

var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// number consumes a number and returns its digits.
func (c *cursor) number() (string, error) {
	start := c.i
	c.skip("-")
	switch {
	case c.skip("0"):
	case !c.digits():
		return "", c.fail("expected a digit, got %s", c.here())
	}
	if c.skip(".") && !c.digits() {
		return "", c.fail("expected a digit after the point, got %s", c.here())
	}
	if c.skip("eE") {
		c.skip("+-")
		if !c.digits() {
			return "", c.fail("expected a digit in the exponent, got %s", c.here())
		}
	}
	return c.s[start:c.i], nil
}

// skip consumes one byte if it is among set.
func (c *cursor) skip(set string) bool {
	if c.i < len(c.s) && strings.IndexByte(set, c.s[c.i]) >= 0 {
		c.i++
		return true
	}
	return false
}

func (c *cursor) digits() bool {
	start := c.i
	for c.i < len(c.s) && c.s[c.i]-'0' < 10 {
		c.i++
	}
	return c.i > start
}

// literal consumes true, false or null.
func (c *cursor) literal() (string, error) {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(c.s[c.i:], word) {
			c.i += len(word)
			return word, nil
		}
	}
	return "", c.fail("expected a value, got %s", c.here())
}

// shape is what value learns of the value it walks over.
type shape struct {
	depth  int    // 1 for {} or []
	spaced bool   // has white space between its tokens
	halved bool   // has half of a surrogate pair in a text
	fault  string // a rule of ours that it breaks, in words
}

// value consumes any value, measures it into s, and returns its text.
func (c *cursor) value(s *shape) (string, error) {
	c.next()
	start := c.i
	c.halved = false
	err := c.element(s, 0)
	s.halved = c.halved
	return c.s[start:c.i], err
}

func (c *cursor) compound(s *shape, depth int) error {
	if depth > maxNesting {
		return c.fail("nested deeper than %d", maxNesting)
	}
	s.depth = max(s.depth, depth)
	open := c.s[c.i]
	c.i++
	closing := open + 2 // '{' → '}', '[' → ']'
	if c.token(s) == closing {
		c.i++
		return nil
	}
	var keys keySet
	for {
		c.token(s)
		if open == '{' {
			if err := c.key(s, &keys); err != nil {
				return err
			}
		}
		if err := c.element(s, depth); err != nil {
			return err
		}
		c.token(s)
		more, err := c.more(closing)
		if !more {
			return err
		}
	}
}

func (c *cursor) key(s *shape, keys *keySet) error {
	key, err := c.text()
	if err != nil {
		return err
	}
	if !keys.add(key) && s.fault == "" {
		s.fault = fmt.Sprintf("has the key %q twice", key)
	}
	if keys.len() > maxKeys && s.fault == "" {
		s.fault = fmt.Sprintf("has more than %d keys in one object", maxKeys)
	}
	c.token(s)
	if err := c.expect(':'); err != nil {
		return err
	}
	c.token(s)
	return nil
}

func (c *cursor) element(s *shape, depth int) error {
	switch b := c.next(); {
	case b == '"':
		_, _, err := c.quoted()
		return err
	case b == '{' || b == '[':
		return c.compound(s, depth+1)
	case b == '-' || b-'0' < 10:
		digits, err := c.number()
		if err == nil && !finite(digits) && s.fault == "" {
			s.fault = fmt.Sprintf("has the number %.40s, which is outside ±%g", digits, math.MaxFloat64)
		}
		return err
	}
	_, err := c.literal()
	return err
}

// finite is quick for what cannot overflow.
func finite(digits string) bool {
	if len(digits) < 300 && !strings.ContainsAny(digits, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(digits, 64)
	return err == nil
}

// token skips white space and notes that there was some.
func (c *cursor) token(s *shape) byte {
	at := c.i
	b := c.next()
	if c.i != at {
		s.spaced = true
	}
	return b
}

// keySet finds repeated keys of an object; small ones without a map.
type keySet struct {
	few  []string
	many map[string]struct{}
	buf  [8]string
}

func (k *keySet) len() int { return max(len(k.few), len(k.many)) }

func (k *keySet) add(key string) (isNew bool) {
	if k.many != nil {
		n := len(k.many)
		k.many[key] = struct{}{}
		return len(k.many) > n
	}
	for _, have := range k.few {
		if have == key {
			return false
		}
	}
	if k.few == nil {
		k.few = k.buf[:0]
	}
	if k.few = append(k.few, key); len(k.few) > 16 {
		k.many = make(map[string]struct{}, 64)
		for _, have := range k.few {
			k.many[have] = struct{}{}
		}
	}
	return true
}

// compact removes the white space between the tokens of valid JSON, and puts
// U+FFFD in the place of halves of surrogate pairs.
func compact(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ', '\n', '\t', '\r':
		case '"':
			c := cursor{s: s, i: i}
			raw, _, _ := c.quoted() // valid already
			if c.halved {
				out = appendQuoted(out, unescape(raw))
			} else {
				out = append(out, s[i:c.i]...)
			}
			i = c.i - 1
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

// appendQuoted writes s as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		if b := s[i]; !plain[b] {
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, b)
			from = i + 1
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
}
