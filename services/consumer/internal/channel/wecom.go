package channel

import (
	"context"
	"time"
)

// wecomMost is the most bytes of a text.
const wecomMost = 2048

// wecom posts to a group robot (https://developer.work.weixin.qq.com/document/path/91770):
// at most 20 messages a minute, errors with status 200 and a code. A text
// mentions nobody unless mentioned_list says so.
func wecom(ctx context.Context, s *sending) (string, error) {
	to, err := s.secret("url")
	if err != nil {
		return "", err
	}
	a, err := s.post(ctx, to, map[string]any{
		"msgtype": "text",
		"text":    map[string]string{"content": s.message.Whole(wecomMost, func(text string) int { return len(text) })},
	}, nil)
	if err != nil {
		return "", err
	}
	return "", a.errcode(time.Minute, map[int]bool{45009: true, 45033: true}, map[int]bool{-1: true})
}
