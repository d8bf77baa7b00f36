package destination

import (
	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/secret"
)

// GA4 has events sent by Google Analytics' Measurement Protocol.
type GA4 struct {
	MeasurementID string       `json:"measurement_id"`
	APISecret     secret.Value `json:"api_secret"`
	URL           string       `json:"url"`
}

func (g *GA4) read(p *ask.Params) {
	g.MeasurementID = p.Required("measurement_id", `the id of the web stream, such as "G-AB12CD34"`)
	g.APISecret = readSecret(p, "api_secret", true)
	g.URL = webAddress(p, "url", "https://www.google-analytics.com/mp/collect")
}

func (g *GA4) secrets() []Secret { return []Secret{{"api_secret", &g.APISecret}} }
