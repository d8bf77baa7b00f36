package channel

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

// dingtalkMost is the most bytes of a text: a message may have 20,000 in all
// ("message too long, exceed 20000 bytes" is what the server says to more).
const dingtalkMost = 18_000

// dingtalkCodes: 130101 is "send too fast, exceed 20 times per minute", 410100
// the same by its newer name; -1 is a system that is busy.
var dingtalkCodes = codes{tooFast: []int{130101, 410100}, wait: 10 * time.Minute, busy: []int{-1}}

// dingtalk posts to a custom robot
// (https://open.dingtalk.com/document/orgapp/custom-robot-access): at most 20
// messages a minute, more shut it out for ten. With a secret, the URL carries
// the time in milliseconds and the HMAC-SHA256 of "time\nsecret" by the secret
// (https://open.dingtalk.com/document/orgapp/customize-robot-security-settings).
// Errors come with status 200 and a code. A text mentions nobody unless "at" says so.
func dingtalk(ctx context.Context, s *sending) (string, error) {
	to, secret, err := s.robot()
	if err != nil {
		return "", err
	}
	if secret != "" {
		if to, err = dingtalkSigned(to, secret, s.now()); err != nil {
			return "", err
		}
	}
	return "", s.postText(ctx, to, s.message.Whole(dingtalkMost, jsonSize), &dingtalkCodes)
}

func dingtalkSigned(to, secret string, now time.Time) (string, error) {
	u, err := url.Parse(to)
	if err != nil {
		return "", refused("the channel's URL cannot be read")
	}
	at := strconv.FormatInt(now.UnixMilli(), 10)
	q := u.Query()
	q.Set("timestamp", at)
	q.Set("sign", sign([]byte(secret), at+"\n"+secret))
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// postText posts a text as DingTalk and WeCom take it, and reads what both say with status 200.
func (s *sending) postText(ctx context.Context, to, text string, c *codes) error {
	a, err := s.post(ctx, to, map[string]any{"msgtype": "text", "text": map[string]string{"content": text}}, nil)
	if err != nil {
		return err
	}
	var said struct {
		Code    *int   `json:"errcode"`
		Message string `json:"errmsg"`
	}
	if json.Unmarshal(a.body, &said) != nil || said.Code == nil {
		return a.unclear()
	}
	return c.verdict(*said.Code, said.Message)
}
