package channel

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/rule"
)

// webhook signs as Standard Webhooks 1.0.0 says
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
// HMAC-SHA256 over id, time and body with each of the secrets, so that receivers
// can change theirs while the old one still counts. The id stays the same with
// each attempt.
func webhook(ctx context.Context, s *sending) (string, error) {
	secrets, err := s.allSecrets("secret")
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(s.payload())
	if err != nil {
		return "", err
	}
	id, at := s.notice.Key(), strconv.FormatInt(s.now().Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		signatures[i] = "v1," + sign(webhookKey(secret), id+"."+at+"."+string(body))
	}
	_, err = s.post(ctx, s.setting("url"), body, map[string]string{
		"webhook-id": id, "webhook-timestamp": at, "webhook-signature": strings.Join(signatures, " "),
	})
	return "", err
}

// payload is what receivers read.
type payload struct {
	Type      string      `json:"type"` // alert.firing, alert.recovered or alert.test
	Timestamp event.Time  `json:"timestamp"`
	Title     string      `json:"title"`
	Text      string      `json:"text"`
	Link      string      `json:"link,omitempty"`
	Data      rule.Firing `json:"data"`
}

func (s *sending) payload() payload {
	kind := "alert." + s.notice.Firing.State
	if s.notice.Test {
		kind = "alert.test"
	}
	return payload{kind, s.notice.Firing.At, s.message.Title, s.message.Text, s.message.Link, s.notice.Firing}
}

// webhookKey is what a secret signs with: whsec_ begins the base64 of a key;
// any other text is one itself.
func webhookKey(secret string) []byte {
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return key
		}
	}
	return []byte(secret)
}

// sign is the base64 of an HMAC-SHA256.
func sign(key []byte, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
