package event

import "fmt"

var purchase = KnownKind{Type: "purchase", Properties: []Typed{
	{Name: "order_id", Check: isID},
	{Name: "amount", Required: true, Check: isAmount},
	{Name: "currency", Check: isCurrency},
	{Name: "items", Check: isItems},
}}

// item are the properties of each thing bought.
var item = []Typed{
	{Name: "product_id", Check: isID},
	{Name: "quantity", Check: isAmount},
	{Name: "price", Check: isAmount},
}

func isItems(v Value) (where, why string) {
	const want = "must be an array of {product_id, quantity, price}, got "
	if v.Kind != Compound || v.Text[0] != '[' {
		return "", want + v.name()
	}
	i := 0
	EachElement(v.Text, func(v Value) bool {
		if where, why = isItem(v); why != "" {
			where = fmt.Sprintf("[%d]%s", i, where)
		}
		i++
		return why == ""
	})
	return where, why
}

func isItem(v Value) (where, why string) {
	if v.Kind != Compound || v.Text[0] != '{' {
		return "", "must be an object {product_id, quantity, price}, got " + v.name()
	}
	for _, t := range item {
		raw, _ := member(v.Text, t.Name)
		if v := valueOf(raw); v.Kind != Absent {
			if _, why := t.Check(v); why != "" {
				return "." + t.Name, why
			}
		}
	}
	return "", ""
}
