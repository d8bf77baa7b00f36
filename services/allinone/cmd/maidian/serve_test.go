package main

import "testing"

func TestTheDemoPageFindsTheQueryService(t *testing.T) {
	tests := map[string]string{
		"http://127.0.0.1:8081": "http://127.0.0.1:8080/demo",
		"http://127.0.0.1:9000": "http://127.0.0.1:8080/demo?query=http%3A%2F%2F127.0.0.1%3A9000",
	}
	for query, want := range tests {
		if got := demoPage("http://127.0.0.1:8080", query); got != want {
			t.Errorf("query service at %s: got %s, want %s", query, got, want)
		}
	}
}
