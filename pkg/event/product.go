package event

// product are the properties of events about one product.
var product = []Typed{
	{Name: "product_id", Required: true, Check: isID},
	{Name: "product_name", Check: isText},
	{Name: "category", Check: isText},
	{Name: "price", Check: isAmount},
	{Name: "quantity", Check: isAmount},
}

var (
	productView = KnownKind{Type: "product_view", Properties: product}
	cartAdd     = KnownKind{Type: "cart_add", Properties: product}
	cartRemove  = KnownKind{Type: "cart_remove", Properties: product}
)
