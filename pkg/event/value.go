package event

// ValueKind is the JSON type of a property's value.
type ValueKind uint8

const (
	Absent ValueKind = iota // not there, or null
	Bool                    // Number is 1 or 0
	Numeric
	String
	Compound // an array or object; Text is its JSON
)

// Value is one property's or field's value, comparable with ==.
type Value struct {
	Kind   ValueKind
	Number float64
	Text   string // for Numeric the digits as sent, so that a value goes out as it came in
}
