package channel

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
)

// feishuMost is the most bytes of a text: a request may have 20 KB in all.
const feishuMost = 16_000

// feishuCodes: 11232 is what the bot's guide names, 99991400 what all of the
// platform's interfaces say, with status 400 or 429 and the seconds to wait in
// x-ogw-ratelimit-reset (https://open.feishu.cn/document/server-docs/api-call-guide/frequency-control).
// 11233 is not in the documentation that could be read; others report it beside 11232.
var feishuCodes = codes{tooFast: []int{11232, 11233, 99991400}, wait: time.Minute}

// feishu posts to a custom bot of Feishu or Lark, which are the same but for
// the host in the URL
// (https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot): with a
// secret, the body carries the time in seconds and the HMAC-SHA256 of nothing by
// "time\nsecret". Errors have a code in place of 0: 19021 for a wrong signature
// or a time more than an hour off, 9499 for a request that is no message, 11232
// for more than 100 messages a minute or 5 a second, or at busy moments such as
// full hours. The message is a post of plain parts, because in a text <at> tags mention people.
func feishu(ctx context.Context, s *sending) (string, error) {
	to, secret, err := s.robot()
	if err != nil {
		return "", err
	}
	body := feishuPost(&s.message, s.channel.Language)
	if secret != "" {
		body["timestamp"], body["sign"] = feishuSigned(secret, s.now())
	}
	a, err := s.post(ctx, to, body, nil)
	if a == nil || err != nil && fault.KindOf(err) != fault.Invalid {
		return "", err
	}
	var said struct {
		Code    *int   `json:"code"`
		Message string `json:"msg"`
	}
	if json.Unmarshal(a.body, &said) == nil && said.Code != nil && *said.Code != 0 {
		c := feishuCodes
		c.wait = cmp.Or(a.retryAfter, c.wait)
		return "", c.verdict(*said.Code, said.Message)
	}
	if err == nil && said.Code == nil {
		err = a.unclear()
	}
	return "", err
}

func feishuSigned(secret string, now time.Time) (at, signature string) {
	at = strconv.FormatInt(now.Unix(), 10)
	return at, sign([]byte(at+"\n"+secret), "")
}

func feishuPost(m *notice.Message, language string) map[string]any {
	locale := "en_us"
	if language == notice.Chinese {
		locale = "zh_cn"
	}
	text := (&notice.Message{Text: m.Text}).Whole(feishuMost, jsonSize)
	lines := [][]map[string]string{{{"tag": "text", "text": text[1:]}}} // without the empty title's line
	if m.Link != "" {
		lines = append(lines, []map[string]string{{"tag": "a", "text": m.Link, "href": m.Link}})
	}
	return map[string]any{
		"msg_type": "post",
		"content":  map[string]any{"post": map[string]any{locale: map[string]any{"title": m.Title, "content": lines}}},
	}
}
