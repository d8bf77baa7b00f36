package destination

import (
	"encoding/json"
	"errors"

	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/secret"
)

// Secret is a credential of a definition, and the place that it is sealed for.
type Secret struct {
	name  string
	value *secret.Value
}

// Owner is the place that a secret of a destination is sealed for.
func Owner(project, id, name string) string {
	return Kind + "/" + project + "/" + id + "/" + name
}

// readSecret reads one as people give it, as it is shown, or as it is kept.
func readSecret(p *ask.Params, name string, required bool) secret.Value {
	if object, ok := p.Get(name).(map[string]any); ok && len(object) == 1 {
		if sealed, ok := object["sealed"].(string); ok {
			return secret.Value{Sealed: sealed}
		}
	}
	v, given := secret.Read(p, name)
	if required && !given {
		p.Fail(name, `is required: a text, {"env": "%sNAME"} or {"file": "name"}`, secret.EnvPrefix)
	}
	return v
}

// readSecrets reads one or several, at most so many.
func readSecrets(p *ask.Params, name string, most int) (all []secret.Value) {
	given, isList := p.Get(name).([]any)
	if !isList {
		return []secret.Value{readSecret(p, name, true)}
	}
	if len(given) == 0 || len(given) > most {
		p.Fail(name, "must have 1 to %d, got %d", most, len(given))
	}
	for _, one := range given {
		all = append(all, readSecret(p.Child("", map[string]any{name: one}), name, true))
	}
	return all
}

// secrets are all that the definition has.
func (d *Definition) secrets() (all []Secret) {
	for _, s := range append(d.Settings.secrets(), Secret{"salt", &d.Salt}) {
		if *s.value != (secret.Value{}) {
			all = append(all, s)
		}
	}
	return all
}

// Seal has every secret that is in clear sealed, and those that are to be kept
// taken from the definition that this one replaces (nil: none).
func (d *Definition) Seal(keys *secret.Keys, project string, old *Definition) (err error) {
	var before []Secret
	if old != nil && old.Type == d.Type {
		before = old.secrets()
	}
	for _, s := range d.secrets() {
		if s.value.Kept() {
			err = errors.Join(err, s.keep(&before))
			continue
		}
		sealed, wrong := keys.Seal(Owner(project, d.ID, s.name), *s.value)
		*s.value, err = sealed, errors.Join(err, wrong)
	}
	return err
}

// keep takes the next secret of the same name.
func (s *Secret) keep(before *[]Secret) error {
	for i, b := range *before {
		if b.name == s.name {
			*s.value = *b.value
			*before = (*before)[i+1:]
			return nil
		}
	}
	return fault.Field("settings."+s.name, "is to be kept, but there was none before")
}

// Shown is the definition as people may see it, of a secret that it is set; it
// can be sent back so.
func (d *Definition) Shown() (map[string]any, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var shown map[string]any
	if err := json.Unmarshal(text, &shown); err != nil {
		return nil, err
	}
	hide(shown)
	return shown, nil
}

// hide puts {"set": true} in the place of everything that is sealed.
func hide(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, sealed := v["sealed"]; sealed {
			clear(v)
			v["set"] = true
		}
		for _, inner := range v {
			hide(inner)
		}
	case []any:
		for _, inner := range v {
			hide(inner)
		}
	}
}
