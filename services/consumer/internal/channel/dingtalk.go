package channel

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

// dingtalkMost is the most bytes of a text: a message may have 20,000 in all.
const dingtalkMost = 18_000

// dingtalk posts to a custom robot
// (https://open.dingtalk.com/document/robots/custom-robot-access): with a secret,
// the URL carries the time in milliseconds and the HMAC-SHA256 of "time\nsecret"
// by the secret. Errors come with status 200 and a code; more than 20 messages a
// minute shut the robot out for ten. A text mentions nobody unless "at" says so.
func dingtalk(ctx context.Context, s *sending) (string, error) {
	to, err := s.secret("url")
	if err != nil {
		return "", err
	}
	secret, err := s.secret("secret")
	if err != nil {
		return "", err
	}
	if secret != "" {
		if to, err = dingtalkSigned(to, secret, s.now()); err != nil {
			return "", err
		}
	}
	a, err := s.post(ctx, to, map[string]any{
		"msgtype": "text",
		"text":    map[string]string{"content": s.message.Whole(dingtalkMost, jsonSize)},
	}, nil)
	if err != nil {
		return "", err
	}
	return "", a.errcode(10*time.Minute, map[int]bool{130101: true, 410100: true}, map[int]bool{-1: true})
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

// errcode reads what DingTalk and WeCom say with status 200.
func (a *answer) errcode(wait time.Duration, tooFast, busy map[int]bool) error {
	var said struct {
		Code    *int   `json:"errcode"`
		Message string `json:"errmsg"`
	}
	if json.Unmarshal(a.body, &said) != nil || said.Code == nil {
		return a.unclear()
	}
	return verdict(*said.Code, said.Message, wait, tooFast, busy)
}
