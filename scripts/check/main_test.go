package main

import (
	"bytes"
	"errors"
	"flag"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrongCommandLinesAreSaidToBeWrong(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "ledger")
	for want, args := range map[string][]string{
		"maidian-check run":             {},
		"maidian-check load":            {"nonsense"},
		"unexpected \"more\"":           {"verify", "more"},
		"-project is needed":            {"load", "-ledger", ledger},
		"-poison needs -amqp":           {"load", "-ledger", ledger, "-project", "p=w,r", "-poison", "0.1"},
		"a list of 1 to 1000":           {"load", "-ledger", ledger, "-project", "p=w,r", "-batch", "5,1001"},
		"name=write key":                {"load", "-project", "p"},
		"read the ledger":               {"verify", "-ledger", ledger},
		"-resumed-after":                {"verify", "-ledger", ledger, "-resumed-after", "yesterday"},
		"must be 1 or more":             {"load", "-ledger", ledger, "-project", "p=w,r", "-users", "0"},
		"the ledger":                    {"run", "-ledger", t.TempDir(), "-project", "p=w,r"},
		"-receiver and -admin-key":      {"define", "-project", "p=w,r"},
		"read what is watched":          {"receive", "-watch", ledger},
		"flag provided but not defined": {"verify", "-rate", "5"},
	} {
		var out bytes.Buffer
		err := command(t.Context(), args, &out)
		said := out.String()
		if err != nil {
			said += err.Error()
		}
		if err == nil || !strings.Contains(said, want) || len(args) == 0 && !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%v: got %q, want %q", args, said, want)
		}
	}
}

func TestWhatCannotBeAskedIsExitCodeTwo(t *testing.T) {
	if code := exit([]string{"verify", "-ledger", filepath.Join(t.TempDir(), "none")}); code != 2 {
		t.Errorf("a question that cannot be asked: exit code %d, want 2", code)
	}
}
