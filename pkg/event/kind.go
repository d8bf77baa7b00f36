package event

import "strings"

// KnownKind is a known kind of event with the properties that are checked. Other
// event types are custom: their properties are taken as they are.
type KnownKind struct {
	Type       string
	Properties []Typed
}

// Typed is a property of a known kind. Check returns what is wrong with a
// value, or "", and where inside the value, such as "[0].price".
type Typed struct {
	Name     string
	Required bool
	Check    func(v Value) (where, why string)
}

// Known lists the kinds that have typed properties. A new one is a file like
// purchase.go and a line here.
var Known = []KnownKind{
	productView,
	cartAdd,
	cartRemove,
	purchase,
	search,
}

var knownByType = func() map[string]*KnownKind {
	m := make(map[string]*KnownKind, len(Known))
	for i := range Known {
		m[Known[i].Type] = &Known[i]
	}
	return m
}()

// checkKind reports what a known kind's properties lack.
func checkKind(eventType, properties string, report func(code, field, format string, args ...any)) {
	k := knownByType[eventType]
	if k == nil {
		return
	}
	for i := range k.Properties {
		t := &k.Properties[i]
		raw, _ := member(properties, t.Name)
		v := valueOf(raw)
		field := PropertyPrefix + t.Name
		switch {
		case v.Kind != Absent:
			if where, why := t.Check(v); why != "" {
				report(codeInvalid, field+where, "%s", why)
			}
		case t.Required:
			report(codeMissing, field, "is required for %s", eventType)
		}
	}
}

// name is what a value is called in messages.
func (v Value) name() string {
	switch v.Kind {
	case Numeric:
		return v.Text
	case Absent:
		return "null"
	}
	return kindOf(string(v.AppendJSON(nil)))
}

func isText(v Value) (_, why string) {
	if v.Kind != String {
		return "", "must be a string, got " + v.name()
	}
	return "", ""
}

// isID takes numbers too: many shops number their products.
func isID(v Value) (_, why string) {
	switch {
	case v.Kind == Numeric || v.Kind == String && v.Text != "":
		return "", ""
	case v.Kind == String:
		return "", "must not be empty"
	}
	return "", "must be a string or a number, got " + v.name()
}

func isAmount(v Value) (_, why string) {
	switch {
	case v.Kind != Numeric:
		return "", "must be a number, got " + v.name()
	case v.Number < 0:
		return "", "must be 0 or more, got " + v.Text
	}
	return "", ""
}

// currencies are the codes of ISO 4217 (list one, funds and precious metals included).
const currencies = " AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD " +
	"CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP " +
	"GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP " +
	"LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK " +
	"PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND " +
	"TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF " +
	"XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG ZWL "

// IsCurrency says whether code is an ISO 4217 code such as "EUR".
func IsCurrency(code string) bool {
	return len(code) == 3 && !strings.Contains(code, " ") && strings.Contains(currencies, " "+code+" ")
}

func isCurrency(v Value) (_, why string) {
	if v.Kind != String || !IsCurrency(v.Text) {
		return "", "must be an ISO 4217 code such as EUR, got " + string(v.AppendJSON(nil))
	}
	return "", ""
}
