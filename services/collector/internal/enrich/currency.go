package enrich

import "github.com/maidian/maidian/pkg/event"

// currency gives a purchase without one the project's. One that is there, even
// as null, stays: an object must not name a key twice.
func (en *Enricher) currency(v *Visit, e *event.Event) {
	if e.EventType != "purchase" || v.Currency == "" || hasKey(e.Properties, "currency") {
		return
	}
	object := event.TextValue(v.Currency).AppendJSON([]byte(`{"currency":`))
	if len(e.Properties) > len("{}") {
		object = append(object, ',')
		object = append(object, e.Properties[1:]...)
	} else {
		object = append(object, '}')
	}
	e.Properties = string(object)
}

func hasKey(properties, key string) (found bool) {
	event.EachProperty(properties, func(k string, _ event.Value) bool {
		found = k == key
		return !found
	})
	return found
}
