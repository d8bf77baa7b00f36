package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// backUp runs the CronJob's own script with a mongodump that does as told, and returns what lies in the folder then.
func backUp(t *testing.T, folder, mongodump string) (files []string, err error) {
	t.Helper()
	all, err := buildWith(root, nil, nil, "backup")
	if err != nil {
		t.Fatal(err)
	}
	dump := containers(all.named("CronJob", "backup"))[0]
	command, _ := at(dump, "command").([]any)
	script := strings.ReplaceAll(command[len(command)-1].(string), "/backup", folder)

	programs := t.TempDir()
	if err := os.WriteFile(filepath.Join(programs, "mongodump"), []byte("#!/bin/bash\n"+mongodump+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("bash", "-euc", script)
	run.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "KEEP_DAYS=14")
	_, err = run.CombinedOutput()
	entries, wrong := os.ReadDir(folder)
	if wrong != nil {
		t.Fatal(wrong)
	}
	for _, e := range entries {
		files = append(files, e.Name())
	}
	return files, err
}

func TestABackupReplacesOldOnesOnlyWhenItIsWhole(t *testing.T) {
	folder := t.TempDir()
	old := filepath.Join(folder, "maidian-20260101T021700Z.archive.gz")
	if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	long := time.Now().AddDate(0, 0, -20)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	const writes = `for a in "$@"; do case $a in --archive=*) echo half > "${a#--archive=}" ;; esac; done`

	files, err := backUp(t, folder, writes+"; exit 1")
	if err == nil || !slices.Contains(files, filepath.Base(old)) || slices.ContainsFunc(files, func(f string) bool { return f != filepath.Base(old) && strings.HasPrefix(f, "maidian-") }) {
		t.Errorf("after a dump that failed there are %v (%v)", files, err)
	}
	files, err = backUp(t, folder, writes)
	if err != nil || len(files) != 1 || files[0] == filepath.Base(old) || !strings.HasSuffix(files[0], ".archive.gz") {
		t.Errorf("after a good one there are %v (%v)", files, err)
	}
}
