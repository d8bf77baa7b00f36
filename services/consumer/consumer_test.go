package consumer

import (
	"strings"
	"testing"
	"time"
)

func TestSettingsSayEverythingThatIsWrong(t *testing.T) {
	b := Settings{FlushInterval: -time.Second}
	err := b.Validate()
	for _, name := range []string{"ANALYTICS_BATCH_SIZE", "CONSUMER_BATCH_BYTES", "CONSUMER_PREFETCH", "CONSUMER_WORKERS", "ANALYTICS_FLUSH_INTERVAL"} {
		if err == nil || !strings.Contains(err.Error(), name+" must be") {
			t.Errorf("%s is wrong, but the error says only %v", name, err)
		}
	}
}
