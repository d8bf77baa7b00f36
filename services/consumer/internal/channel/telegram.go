package channel

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"
)

// telegramMost is the most UTF-16 units of a text.
const telegramMost = 4096

// telegram calls sendMessage (https://core.telegram.org/bots/api#sendmessage);
// 20 messages a minute may go into one group (https://core.telegram.org/bots/faq).
// The text has no parse mode, so that nothing in it is markup. Errors have a
// description, and 429 says in parameters.retry_after when to come again
// (https://core.telegram.org/bots/api#responseparameters).
func telegram(ctx context.Context, s *sending) (string, error) {
	token, err := s.secret("token")
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(token, "/?#% ") {
		return "", refused("the token has characters that no token has")
	}
	a, err := s.post(ctx, strings.TrimSuffix(s.setting("api_url"), "/")+"/bot"+token+"/sendMessage", map[string]any{
		"chat_id":              s.setting("chat_id"),
		"text":                 s.message.Whole(telegramMost, func(text string) int { return len(utf16.Encode([]rune(text))) }),
		"link_preview_options": map[string]any{"is_disabled": true},
	}, nil)
	var said struct {
		OK          bool   `json:"ok"`
		Code        int    `json:"error_code"`
		Description string `json:"description"`
		Parameters  struct {
			RetryAfter int `json:"retry_after"`
		} `json:"parameters"`
	}
	switch {
	case a == nil:
		return "", err
	case json.Unmarshal(a.body, &said) == nil && said.Code == http.StatusTooManyRequests:
		return "", limited(time.Duration(said.Parameters.RetryAfter)*time.Second, "%s", said.Description)
	case err != nil:
		return "", err
	case !said.OK: // a success that no bot server gave
		return "", a.unclear()
	}
	return "", nil
}
