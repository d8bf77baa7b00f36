package channel

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/notice"
)

// feishuMost is the most bytes of a text: a request may have 20 KB in all.
const feishuMost = 16_000

// feishu posts to a custom bot of Feishu or Lark, which are the same but for
// the host in the URL
// (https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot): with a
// secret, the body carries the time in seconds and the HMAC-SHA256 of nothing by
// "time\nsecret". Errors have a code in place of 0: 19021 for a wrong signature,
// 11232 for more than 100 messages a minute or 5 a second. The message is a
// post of plain parts, because in a text <at> tags mention people.
func feishu(ctx context.Context, s *sending) (string, error) {
	to, err := s.secret("url")
	if err != nil {
		return "", err
	}
	secret, err := s.secret("secret")
	if err != nil {
		return "", err
	}
	body := feishuPost(&s.message, s.channel.Language)
	if secret != "" {
		at := strconv.FormatInt(s.now().Unix(), 10)
		body["timestamp"], body["sign"] = at, sign([]byte(at+"\n"+secret), "")
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
		return "", verdict(*said.Code, said.Message, time.Minute, map[int]bool{11232: true, 11233: true}, nil)
	}
	if err == nil && said.Code == nil {
		err = a.unclear()
	}
	return "", err
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
