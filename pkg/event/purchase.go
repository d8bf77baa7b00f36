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

func isItems(v Value) (why string) {
	const want = "must be an array of {product_id, quantity, price}, got "
	if v.Kind != Compound || v.Text[0] != '[' {
		return want + v.name()
	}
	c := cursor{s: v.Text}
	_ = c.array(func(i int) error {
		raw, err := c.value(&shape{})
		if err == nil && why == "" {
			why = isItem(i, raw)
		}
		return err
	})
	return why
}

func isItem(i int, raw string) string {
	if raw[0] != '{' {
		return fmt.Sprintf("item %d must be an object {product_id, quantity, price}, got %s", i, kindOf(raw))
	}
	for _, t := range item {
		value, _ := member(raw, t.Name)
		if v := valueOf(value); v.Kind != Absent {
			if why := t.Check(v); why != "" {
				return fmt.Sprintf("%s of item %d %s", t.Name, i, why)
			}
		}
	}
	return ""
}
