package forward

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/event"
)

// webhook posts {"id", "events": […]}, signed as Standard Webhooks are: over id,
// time and body, by each secret, so that a receiver can change from one to the next.
type webhook struct {
	*destination.Webhook
	shape  *destination.Shape
	client Doer
	keys   [][]byte
}

const mostWebhookBytes = 1 << 20

func (o *opening) webhook(s *destination.Webhook) (Target, error) {
	w := &webhook{Webhook: s, shape: &o.definition.Shape, client: o.Web}
	for _, kept := range s.Secrets {
		text, err := o.secret("secrets", kept)
		if err != nil {
			return nil, err
		}
		w.keys = append(w.keys, webhookKey(text))
	}
	return w, nil
}

// webhookKey is a secret as bytes: of one that begins with "whsec_" the base64 behind it.
func webhookKey(text string) []byte {
	if encoded, ok := strings.CutPrefix(text, "whsec_"); ok {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return key
		}
	}
	return []byte(text)
}

func (w *webhook) Limits() Limits {
	return Limits{Events: w.Batch, Bytes: mostWebhookBytes - w.Batch - 1000} // commas, and all else in it
}

func (w *webhook) Encode(e *event.Event) ([]byte, error) { return w.shape.AppendJSON(nil, e), nil }

func (w *webhook) Send(ctx context.Context, b Batch) error {
	body := append([]byte(`{"id":`), event.TextValue(b.ID).AppendJSON(nil)...)
	body = append(body, `,"events":[`...)
	for i, item := range b.Items {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, item.Body...)
	}
	body = append(body, "]}"...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", b.ID)
	r.Header.Set("Webhook-Timestamp", at)
	r.Header.Set("Webhook-Signature", w.signatures(b.ID, at, body))
	_, err = request(w.client, r)
	return err
}

func (w *webhook) signatures(id, at string, body []byte) string {
	all := make([]string, len(w.keys))
	for i, key := range w.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(body)
		all[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(all, " ")
}

func (w *webhook) Close() error { return nil }
