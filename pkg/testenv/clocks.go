package testenv

// OddClocks are moments at which the clocks of a place did what few do.
var OddClocks = map[string]struct{ Zone, At string }{
	"a date was skipped":                      {"Pacific/Apia", "2011-12-30T10:00:00Z"},
	"another date was skipped":                {"Pacific/Kwajalein", "1993-08-21T12:00:00Z"},
	"a day starts at one":                     {"America/Santiago", "2024-09-08T04:00:00Z"},
	"a day ends an hour later":                {"America/Santiago", "2024-04-07T03:00:00Z"},
	"a day starts at one, in the east":        {"Asia/Beirut", "2024-03-30T22:00:00Z"},
	"midnight comes twice":                    {"Asia/Beirut", "2024-10-26T21:00:00Z"},
	"midnight is skipped, in the south":       {"America/Sao_Paulo", "2018-11-04T03:00:00Z"},
	"midnight comes twice, in the south":      {"America/Sao_Paulo", "2018-02-18T02:00:00Z"},
	"half an hour forth":                      {"Asia/Pyongyang", "2018-05-04T15:00:00Z"},
	"half an hour back":                       {"America/Caracas", "2007-12-09T07:00:00Z"},
	"half an hour of daylight saving":         {"Australia/Lord_Howe", "2024-04-06T15:00:00Z"},
	"a quarter of an hour":                    {"Asia/Kathmandu", "1985-12-31T18:30:00Z"},
	"midnight comes twice, on an island":      {"Atlantic/Azores", "2024-10-27T01:00:00Z"},
	"daylight saving ends for a month":        {"Africa/Casablanca", "2024-03-10T02:00:00Z"},
	"an offset of half a minute":              {"Africa/Monrovia", "1972-01-07T00:44:30Z"},
	"two hours":                               {"Antarctica/Troll", "2024-03-31T01:00:00Z"},
	"in the night before a fast":              {"Africa/Cairo", "2014-07-31T22:00:00Z"},
	"an ordinary change in a zone far ahead":  {"Pacific/Auckland", "2026-04-04T14:00:00Z"},
	"an ordinary change in a zone far behind": {"America/Havana", "2026-11-01T05:00:00Z"},
}
