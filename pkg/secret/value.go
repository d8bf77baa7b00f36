package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/maidian/maidian/pkg/ask"
)

// Value is a secret as a definition has it: sealed, or the name of the variable
// or file that has it. One that was given in clear must be sealed before it can
// be written.
type Value struct {
	Sealed string
	Env    string
	File   string

	clear string
	kept  bool // {"set": true}: the one that is there already
}

// Clear is a secret as people give it.
func Clear(text string) Value { return Value{clear: text} }

// Kept says that the value stands for the one that is there already.
func (v Value) Kept() bool { return v.kept }

// stored is a value in a record.
type stored struct {
	Sealed string `json:"sealed,omitempty"`
	Env    string `json:"env,omitempty"`
	File   string `json:"file,omitempty"`
}

// MarshalJSON writes the value for the store, never one in clear.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.clear != "" || v.kept {
		return nil, errors.New("a secret must be sealed before it is written")
	}
	return json.Marshal(stored{v.Sealed, v.Env, v.File})
}

// UnmarshalJSON reads what the store has.
func (v *Value) UnmarshalJSON(data []byte) error {
	var s stored
	err := json.Unmarshal(data, &s)
	*v = Value{Sealed: s.Sealed, Env: s.Env, File: s.File}
	return err
}

// Shown is the value as people may see it: of a sealed one, that it is set.
func (v Value) Shown() map[string]any {
	switch {
	case v.Env != "":
		return map[string]any{"env": v.Env}
	case v.File != "":
		return map[string]any{"file": v.File}
	}
	return map[string]any{"set": true}
}

var envName = regexp.MustCompile(`^` + EnvPrefix + `[A-Z0-9_]{1,100}$`)

func (v Value) check() error {
	if v.Env != "" && !envName.MatchString(v.Env) {
		return fmt.Errorf("must name a variable that begins with %s, in capitals, digits and _, got %.100q", EnvPrefix, v.Env)
	}
	return nil
}

// Read is the secret in a parameter: text in clear, {"env": "CREDENTIAL_…"},
// {"file": "…"}, or {"set": true} as it is shown, which keeps the one that is
// there. It is false when the parameter is missing; mistakes are p's.
func Read(p *ask.Params, name string) (Value, bool) {
	given := p.Get(name)
	if given == nil {
		return Value{}, false
	}
	v, err := parse(given)
	if err != nil {
		p.Fail(name, "%s", err)
		return Value{}, false
	}
	return v, true
}

// ReadAll is Read of a parameter with one secret or a list of them.
func ReadAll(p *ask.Params, name string, most int) []Value {
	list, ok := p.Get(name).([]any)
	if !ok {
		if v, ok := Read(p, name); ok {
			return []Value{v}
		}
		return nil
	}
	if len(list) > most {
		p.Fail(name, "must have at most %d, got %d", most, len(list))
		return nil
	}
	var all []Value
	for i, given := range list {
		v, err := parse(given)
		if err != nil {
			p.Fail(fmt.Sprintf("%s[%d]", name, i), "%s", err)
			return nil
		}
		all = append(all, v)
	}
	return all
}

const maxClear = 8 << 10

// parse never shows what it was given in its errors.
func parse(given any) (Value, error) {
	if text, ok := given.(string); ok {
		if text == "" || len(text) > maxClear {
			return Value{}, fmt.Errorf("must have 1 to %d bytes, got %d", maxClear, len(text))
		}
		return Value{clear: text}, nil
	}
	if object, ok := given.(map[string]any); ok && len(object) == 1 {
		v := Value{}
		v.Env, _ = object["env"].(string)
		v.File, _ = object["file"].(string)
		v.kept = object["set"] == true
		if v.kept || v.Env != "" || v.File != "" {
			return v, v.check()
		}
	}
	return Value{}, errors.New(`must be text, {"env": "` + EnvPrefix + `NAME"}, {"file": "name"}, or {"set": true} to keep the one that is there`)
}
