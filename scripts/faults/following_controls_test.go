package faults

// Files that faults and controls of those who follow change.
const (
	alertGo     = "services/consumer/internal/alert/alert.go"
	alertWorkGo = "services/consumer/internal/alert/work.go"
	evaluatorGo = "pkg/rule/evaluator.go"
	feedGo      = "services/consumer/internal/feed/feed.go"
	filesGo     = "services/consumer/internal/forward/files.go"
	layoutGo    = "services/consumer/internal/forward/layout.go"
	leaseGo     = "services/consumer/internal/lease/lease.go"
	noticeGo    = "pkg/notice/notice.go"
	notifyGo    = "services/consumer/internal/notify/notify.go"
	requestGo   = "services/consumer/internal/forward/request.go"
	stateGo     = "services/consumer/internal/forward/state.go"
	toldGo      = "services/consumer/internal/channel/channel.go"
	tryGo       = "services/consumer/internal/notify/try.go"
	webhookGo   = "services/consumer/internal/forward/webhook.go"
)

// followingControls tell or forward too little, too much, or wrongly.
var followingControls = []control{
	{
		name: "how far the rules are is kept without what came out", fault: "follower crash once a state is kept", finds: "firings",
		patches: []patch{
			{alertWorkGo, "	if err := w.again(ctx, w.kept.Steps); err != nil {\n		return err\n	}\n", "	if err := w.again(ctx, w.kept.Steps); err != nil {\n		return err\n	}\n	w.rules.Firings()\n	firings = nil\n"},
		},
	},
	{
		name: "what was evaluated before a restart is evaluated again", fault: "follower kill -9", finds: "firings",
		patches: []patch{{alertWorkGo, "		w.feed.Know(entries)\n", ""}},
	},
	{
		name: "rules begin anew after a restart", fault: "follower kill -9", finds: "firings",
		patches: []patch{{evaluatorGo, "		if s.Groups == nil {\n", "		if s.Groups = nil; s.Groups == nil {\n"}},
	},
	{
		name: "windows wait for nothing that is late", fault: "none, followed", finds: "firings",
		patches: []patch{{evaluatorGo, "until := t - s.rule.Grace\n", "until := t\n"}},
	},
	{
		name: "notices have another id each time", fault: "follower crash before a firing is spread", finds: "notices",
		patches: []patch{{noticeGo, `Notice{ID: f.ID + "/" + channel, `, `Notice{ID: fmt.Sprint(f.ID, "/", channel, "/", int64(now)), `}},
	},
	{
		name: "a notice that was taken is nobody's any more", fault: "follower crash before a notice is settled", finds: "notices",
		patches: []patch{{tryGo, "told.Record(n.in(n.times.Taken), r.Revision)", "told.Record(0, r.Revision)"}},
	},
	{
		name: "every answer is a success", fault: "receiver answers 500", finds: "told",
		patches: []patch{{toldGo, "	case status >= 200 && status < 300:\n", "	case status >= 200 && status < 600:\n"}},
	},
	{
		name: "the time is not signed", fault: "none, followed", finds: "signed",
		patches: []patch{{"services/consumer/internal/channel/webhook.go", `id+"."+at+"."+string(body)`, `id+"."+string(body)`}},
	},
	{
		name: "the cursor is moved before the answer", fault: "followers killed while nothing is taken", finds: "forwarded",
		patches: []patch{{stateGo, "	k.SavedAt = time.Now().UnixMilli()\n", "	k.SavedAt = time.Now().UnixMilli()\n	defer func(sending *destination.Group) { k.Pending = sending }(k.Pending)\n	k.Pending = nil\n"}},
	},
	{
		name: "whatever a destination answers, it took the events", fault: "receiver answers 500", finds: "forwarded",
		patches: []patch{{requestGo, "answer.StatusCode/100 == 2", "answer.StatusCode/100 >= 2"}},
	},
	{
		name: "leases without a fence", fault: "follower frozen past its lease", finds: "twice",
		patches: []patch{
			{leaseGo, "context.WithDeadline(ctx, sure)", "context.WithTimeout(ctx, k.hold)"},
			{leaseGo, "		case !k.now().Before(sure):\n", "		case !k.now().Before(sure.Add(1e15)):\n"},
			{leaseGo, "	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {\n		return nil, nil\n	}\n", "	if errors.Is(err, store.ErrConflict) {\n		if now, wrong := k.records.Record(ctx, Kind, h.record.Project, h.record.ID); wrong == nil {\n			h.record.Revision = now.Revision\n			return k.write(ctx, h)\n		}\n	}\n"},
			{stateGo, "	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {\n		return errLost\n	}\n", "	if errors.Is(err, store.ErrConflict) {\n		if now, wrong := k.records.Record(ctx, destination.StateKind, k.record.Project, k.record.ID); wrong == nil {\n			k.record.Revision = now.Revision\n			return k.save(ctx)\n		}\n	}\n"},
		},
	},
	{
		name: "which events make a file is not kept", fault: "follower crash once a file is written", finds: "files",
		patches: []patch{{layoutGo, "Exact: true", "Exact: false"}},
	},
	{
		name: "nobody looks back in the journal", fault: "storing clock set back", finds: "forwarded",
		patches: []patch{{feedGo, "	return store.Cursor{WrittenAt: f.before(f.overlap)}\n", "	return store.Cursor{WrittenAt: f.before(shortLook)}\n"}},
	},
}
