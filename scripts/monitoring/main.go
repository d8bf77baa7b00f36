// Monitoring writes the Grafana dashboards, which are kept in deploy/grafana.
//
//	go run ./scripts/monitoring deploy/grafana/dashboards
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: monitoring FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "monitoring:", err)
		os.Exit(1)
	}
}

func write(folder string) error {
	for _, d := range dashboards() {
		text, err := d.JSON()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, d.uid+".json"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
