package destination

import (
	"github.com/maidian/maidian/pkg/ask"
	"github.com/maidian/maidian/pkg/secret"
)

// Mixpanel has events sent by its import API, which takes old ones too.
type Mixpanel struct {
	ProjectID string       `json:"project_id"`
	Username  string       `json:"username"` // of the service account
	Password  secret.Value `json:"password"`
	URL       string       `json:"url"`
}

func (m *Mixpanel) read(p *ask.Params) {
	m.ProjectID = p.Required("project_id", "the number of the Mixpanel project")
	m.Username = p.Required("username", "the name of a service account")
	m.Password = readSecret(p, "password", true)
	m.URL = webAddress(p, "url", "https://api.mixpanel.com/import")
}

func (m *Mixpanel) secrets() []Secret { return []Secret{{"password", &m.Password}} }
