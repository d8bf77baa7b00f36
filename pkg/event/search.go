package event

var search = KnownKind{Type: "search", Properties: []Typed{
	{Name: "query", Check: isText},
	{Name: "results", Check: isAmount},
}}
