package channel

import (
	"context"
	"strings"
)

// slackMost is the most characters of a text: Slack advises to stay below 4,000
// (https://docs.slack.dev/reference/methods/chat.postMessage), entities counted.
const slackMost = 3900

// slack posts to an incoming webhook
// (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks),
// which tells errors by its status, and takes one message a second: more is 429
// with Retry-After (https://docs.slack.dev/apis/web-api/rate-limits). In texts, &, < and >
// must be written as entities (https://docs.slack.dev/messaging/formatting-message-text);
// then nothing in an event mentions a whole channel.
func slack(ctx context.Context, s *sending) (string, error) {
	to, _, err := s.robot()
	if err != nil {
		return "", err
	}
	text := s.message.Whole(slackMost, func(text string) int { return len(slackText.Replace(text)) })
	_, err = s.post(ctx, to, map[string]any{"text": slackText.Replace(text), "unfurl_links": false}, nil)
	return "", err
}

var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
