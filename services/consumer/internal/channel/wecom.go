package channel

import (
	"context"
	"time"
)

// wecomMost is the most bytes of a text.
const wecomMost = 2048

// wecomCodes (https://developer.work.weixin.qq.com/document/path/90313): 45009
// is too many calls, 45033 too many at a time, -1 a system that is busy. Final
// are, for example, 93000 and 93004: no such robot, and one that was stopped.
var wecomCodes = codes{tooFast: []int{45009, 45033}, wait: time.Minute, busy: []int{-1}}

// wecom posts to a group robot (https://developer.work.weixin.qq.com/document/path/91770):
// at most 20 messages a minute, errors with status 200 and a code. A text
// mentions nobody unless mentioned_list says so.
func wecom(ctx context.Context, s *sending) (string, error) {
	to, _, err := s.robot()
	if err != nil {
		return "", err
	}
	return "", s.postText(ctx, to, s.message.Whole(wecomMost, func(text string) int { return len(text) }), &wecomCodes)
}
