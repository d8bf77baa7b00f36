package enrich

import (
	"encoding/json"
	"os"
	"sync"
	"testing"

	"github.com/maidian/maidian/pkg/testenv"
)

func readCases(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(testenv.Cases(t, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func agents(t testing.TB) *Agents {
	t.Helper()
	a, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// compiled is made once: it takes a second with the race detector.
var compiled = sync.OnceValues(NewAgents)

type agentCase struct {
	Text                                    string `json:"user_agent_string"`
	Family, Major, Minor, Patch, PatchMinor string
}

func TestBrowsersOfTheSharedCases(t *testing.T) {
	var file struct{ Cases []agentCase }
	readCases(t, "ua_ua.json", &file)
	a := agents(t)
	right := 0
	for _, c := range file.Cases {
		got := a.read(c.Text)
		if got.Browser == known(c.Family) && got.BrowserVersion == version(c.Major, c.Minor, c.Patch) {
			right++
		} else {
			t.Logf("%s\n got %q %q, want %q %q", c.Text, got.Browser, got.BrowserVersion, c.Family, version(c.Major, c.Minor, c.Patch))
		}
	}
	t.Logf("%d of %d", right, len(file.Cases))
	if right < len(file.Cases)*99/100 {
		t.Errorf("only %d of %d browsers right", right, len(file.Cases))
	}
}

func TestSystemsOfTheSharedCases(t *testing.T) {
	var file struct {
		Cases []struct {
			agentCase
			Fourth string `json:"patch_minor"`
		}
	}
	readCases(t, "ua_os.json", &file)
	a := agents(t)
	right := 0
	for _, c := range file.Cases {
		got := a.read(c.Text)
		if got.OS == known(c.Family) && got.OSVersion == version(c.Major, c.Minor, c.Patch, c.Fourth) {
			right++
		} else {
			t.Logf("%s\n got %q %q, want %q %q", c.Text, got.OS, got.OSVersion, c.Family, version(c.Major, c.Minor, c.Patch, c.Fourth))
		}
	}
	t.Logf("%d of %d", right, len(file.Cases))
	if right < len(file.Cases)*99/100 {
		t.Errorf("only %d of %d systems right", right, len(file.Cases))
	}
}

func TestBotsOfTheSharedCases(t *testing.T) {
	var isbot struct{ Bots, Browsers []string }
	readCases(t, "bots_isbot.json", &isbot)
	var crawlers struct{ Bots []struct{ UA string } }
	readCases(t, "bots_crawler_user_agents.json", &crawlers)
	for _, c := range crawlers.Bots {
		isbot.Bots = append(isbot.Bots, c.UA)
	}
	a := agents(t)
	missed, accused := 0, 0
	for _, text := range isbot.Bots {
		if !a.read(text).Bot {
			missed++
			t.Logf("missed: %s", text)
		}
	}
	for _, text := range isbot.Browsers {
		if a.read(text).Bot {
			accused++
			t.Logf("accused: %s", text)
		}
	}
	t.Logf("missed %d of %d bots, accused %d of %d browsers", missed, len(isbot.Bots), accused, len(isbot.Browsers))
	if missed > len(isbot.Bots)/100 || accused > len(isbot.Browsers)/20 { // the two lists contradict each other in places
		t.Error("too many")
	}
}
