package traffic

// What there is in the world of the made-up shop.

const site = "https://shop.example"

type page struct{ url, title string }

var landings = []page{
	{site + "/", "Leaf & Kiln"},
	{site + "/", "Leaf & Kiln"},
	{site + "/", "Leaf & Kiln"},
	{site + "/catalog", "All products"},
	{site + "/sale", "Sale"},
	{site + "/blog/repotting", "How to repot"},
}

type product struct {
	id, name, category string
	price              float64
}

func (p product) properties() map[string]any {
	return map[string]any{"product_id": p.id, "product_name": p.name, "category": p.category, "price": p.price}
}

var products = []product{
	{"p-100", "Monstera", "plants", 24.9},
	{"p-101", "Fiddle-leaf fig", "plants", 39},
	{"p-102", "Snake plant", "plants", 17.5},
	{"p-103", "Peace lily", "plants", 14.9},
	{"p-200", "Stoneware pot", "pots", 22},
	{"p-201", "Terracotta pot", "pots", 9.5},
	{"p-202", "Hanging planter", "pots", 18},
	{"p-300", "Watering can", "tools", 27},
	{"p-301", "Mister", "tools", 12.9},
	{"p-302", "Pruning shears", "tools", 31},
}

// source is where a visit comes from.
type source struct{ referrer, query string }

var sources = []source{
	{},
	{},
	{"https://www.google.com/", ""},
	{"https://www.google.com/", ""},
	{"https://www.bing.com/", ""},
	{"https://www.instagram.com/", "?utm_source=instagram&utm_medium=social&utm_campaign=spring"},
	{"", "?utm_source=newsletter&utm_medium=email&utm_campaign=weekly"},
	{"https://plants-blog.example/best-pots", ""},
}

type agent struct{ text, screen string }

var agents = []agent{
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36", "1920x1080"},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0", "1536x864"},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15", "1440x900"},
	{"Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0", "2560x1440"},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1", "390x844"},
	{"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36", "412x915"},
	{"Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1", "820x1180"},
}

var words = []string{"monstera", "pot", "small plant", "gift", "low light", "shears"}
