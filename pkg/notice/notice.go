package notice

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/rule"
	"github.com/maidian/maidian/pkg/store"
)

// Kind is the kind of the records that notices are; Data is a Notice as JSON.
const Kind = "notice"

// States of a notice.
const (
	Waiting   = "waiting"   // its record is due when it is to be tried
	Delivered = "delivered" // its record is due when it may be forgotten
	GivenUp   = "given_up"  // likewise, but much later: somebody should look
	Silenced  = "silenced"  // as Delivered, but nobody was told
)

// Notice is one firing on its way through one channel.
type Notice struct {
	ID          string      `json:"id"`
	Project     string      `json:"project"`
	Channel     string      `json:"channel"`
	Firing      rule.Firing `json:"firing"`
	Test        bool        `json:"test"` // nothing has happened: somebody tries the channel
	State       string      `json:"state"`
	Attempts    int         `json:"attempts"`
	CreatedAt   event.Time  `json:"created_at"`
	LastAttempt event.Time  `json:"last_attempt_at"`
	DeliveredAt event.Time  `json:"delivered_at"`
	LastError   string      `json:"last_error"` // of the last attempt that failed
}

// For is a firing's notice for a channel. Its ID follows from the two, so that
// it is made once however often the firing is.
func For(f rule.Firing, channel string, now event.Time) Notice {
	return Notice{ID: f.ID + "/" + channel, Project: f.Project, Channel: channel, Firing: f, State: Waiting, CreatedAt: now}
}

// Key is what receivers know a notice by: the same with each attempt, and
// nothing but letters, digits, - and _.
func (n *Notice) Key() string {
	sum := sha256.Sum256([]byte(n.Project + "/" + n.ID))
	return "msg_" + base64.RawURLEncoding.EncodeToString(sum[:20])
}

// Record is the notice as the store has it, due at a moment (0: never).
func (n *Notice) Record(due event.Time, revision int64) (store.Record, error) {
	data, err := json.Marshal(n)
	return store.Record{Kind: Kind, Project: n.Project, ID: n.ID, Due: due, Data: data, Revision: revision}, err
}

// Of reads a record.
func Of(r *store.Record) (*Notice, error) {
	var n Notice
	if err := json.Unmarshal(r.Data, &n); err != nil {
		return nil, fmt.Errorf("notice %s: %w", r.Key(), err)
	}
	return &n, nil
}
