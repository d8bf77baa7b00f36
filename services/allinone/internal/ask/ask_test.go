package ask

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAnswersAndRefusals(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Header.Get("X-Api-Key") != "rk":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"code":"unknown_key","message":"nobody knows this key"}}`)
		case r.URL.Path == "/api/v1/analytics/funnel" && string(body) == `{"steps":["a"]}`:
			fmt.Fprint(w, `{"total":7}`)
		default:
			http.Error(w, "bad gateway", http.StatusBadGateway)
		}
	}))
	defer s.Close()
	var out struct{ Total int }
	question := map[string]any{"steps": []string{"a"}}
	if err := (Client{s.URL + "/", "rk"}).Post(t.Context(), "funnel", question, &out); err != nil || out.Total != 7 {
		t.Errorf("%+v, %v", out, err)
	}
	for want, err := range map[string]error{
		"/api/v1/analytics/funnel: 401 Unauthorized: nobody knows this key": Client{s.URL, "wrong"}.Post(t.Context(), "funnel", question, &out),
		"/api/v1/analytics/other: 502 Bad Gateway: bad gateway":             Client{s.URL, "rk"}.Post(t.Context(), "other", question, &out),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
