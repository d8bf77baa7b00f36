package event

// Kind is how a field's value is written.
type Kind uint8

const (
	Text Kind = iota
	Num
	Moment
	Flag
	Object
)

// Field is one named part of an event. Fields lists all of them: encoding,
// decoding, storage, filters and exports go through that one list.
type Field struct {
	Name   string
	Kind   Kind
	Client bool // may be sent by clients; the others are the server's own
	Max    int  // with Client and Text: most characters

	text func(*Event) *string
	num  func(*Event) *Number
	time func(*Event) *Time
	flag func(*Event) *bool
}

// Fields in the order in which they are written. BatchID and Position are
// about storage and not among them.
var Fields = []Field{
	{Name: "project", text: func(e *Event) *string { return &e.Project }},
	{Name: "event_id", Client: true, Max: 64, text: func(e *Event) *string { return &e.EventID }},
	{Name: "event_type", Client: true, Max: 200, text: func(e *Event) *string { return &e.EventType }},
	{Name: "event_name", Client: true, Max: 200, text: func(e *Event) *string { return &e.EventName }},
	{Name: "user_id", Client: true, Max: 200, text: func(e *Event) *string { return &e.UserID }},
	{Name: "anonymous_id", Client: true, Max: 200, text: func(e *Event) *string { return &e.AnonymousID }},
	{Name: "session_id", Client: true, Max: 200, text: func(e *Event) *string { return &e.SessionID }},
	{Name: "timestamp", Client: true, Kind: Moment, time: func(e *Event) *Time { return &e.Timestamp }},
	{Name: "client_timestamp", Kind: Moment, time: func(e *Event) *Time { return &e.ClientTimestamp }},
	{Name: "received_at", Kind: Moment, time: func(e *Event) *Time { return &e.ReceivedAt }},
	{Name: "stored_at", Kind: Moment, time: func(e *Event) *Time { return &e.StoredAt }},
	{Name: "page_url", Client: true, Max: maxText, text: func(e *Event) *string { return &e.PageURL }},
	{Name: "page_title", Client: true, Max: maxText, text: func(e *Event) *string { return &e.PageTitle }},
	{Name: "page_host", text: func(e *Event) *string { return &e.PageHost }},
	{Name: "page_path", text: func(e *Event) *string { return &e.PagePath }},
	{Name: "referrer", Client: true, Max: maxText, text: func(e *Event) *string { return &e.Referrer }},
	{Name: "user_agent", Client: true, Max: maxText, text: func(e *Event) *string { return &e.UserAgent }},
	{Name: "screen_resolution", Client: true, Max: maxText, text: func(e *Event) *string { return &e.ScreenResolution }},
	{Name: "viewport_size", Client: true, Max: maxText, text: func(e *Event) *string { return &e.ViewportSize }},
	{Name: "element_id", Client: true, Max: maxText, text: func(e *Event) *string { return &e.ElementID }},
	{Name: "element_class", Client: true, Max: maxText, text: func(e *Event) *string { return &e.ElementClass }},
	{Name: "element_text", Client: true, Max: maxText, text: func(e *Event) *string { return &e.ElementText }},
	{Name: "x_position", Client: true, Kind: Num, num: func(e *Event) *Number { return &e.XPosition }},
	{Name: "y_position", Client: true, Kind: Num, num: func(e *Event) *Number { return &e.YPosition }},
	{Name: "scroll_depth", Client: true, Kind: Num, num: func(e *Event) *Number { return &e.ScrollDepth }},
	{Name: "duration", Client: true, Kind: Num, num: func(e *Event) *Number { return &e.Duration }},
	{Name: "load_time", Client: true, Kind: Num, num: func(e *Event) *Number { return &e.LoadTime }},
	{Name: "ip_address", text: func(e *Event) *string { return &e.IPAddress }},
	{Name: "country", text: func(e *Event) *string { return &e.Country }},
	{Name: "region", text: func(e *Event) *string { return &e.Region }},
	{Name: "city", text: func(e *Event) *string { return &e.City }},
	{Name: "browser", text: func(e *Event) *string { return &e.Browser }},
	{Name: "browser_version", text: func(e *Event) *string { return &e.BrowserVersion }},
	{Name: "os", text: func(e *Event) *string { return &e.OS }},
	{Name: "os_version", text: func(e *Event) *string { return &e.OSVersion }},
	{Name: "device_type", text: func(e *Event) *string { return &e.DeviceType }},
	{Name: "is_bot", Kind: Flag, flag: func(e *Event) *bool { return &e.IsBot }},
	{Name: "utm_source", text: func(e *Event) *string { return &e.UTMSource }},
	{Name: "utm_medium", text: func(e *Event) *string { return &e.UTMMedium }},
	{Name: "utm_campaign", text: func(e *Event) *string { return &e.UTMCampaign }},
	{Name: "utm_term", text: func(e *Event) *string { return &e.UTMTerm }},
	{Name: "utm_content", text: func(e *Event) *string { return &e.UTMContent }},
	{Name: "channel", text: func(e *Event) *string { return &e.Channel }},
	{Name: "sdk", Client: true, Max: 200, text: func(e *Event) *string { return &e.SDK }},
	{Name: "properties", Client: true, Kind: Object, text: func(e *Event) *string { return &e.Properties }},
}

// maxText is for a text that is limited by the event's size alone.
const maxText = MaxEvent

var fieldByName = func() map[string]*Field {
	m := make(map[string]*Field, len(Fields))
	for i := range Fields {
		m[Fields[i].Name] = &Fields[i]
	}
	return m
}()

// FieldNamed is the event field of that name, or nil: then the name means a property.
func FieldNamed(name string) *Field { return fieldByName[name] }

// TextOf is a Text or Object field's value in e.
func (f *Field) TextOf(e *Event) string { return *f.text(e) }

// NumberOf is a Num field's value in e.
func (f *Field) NumberOf(e *Event) Number { return *f.num(e) }

// TimeOf is a Moment field's value in e.
func (f *Field) TimeOf(e *Event) Time { return *f.time(e) }

// FlagOf is a Flag field's value in e.
func (f *Field) FlagOf(e *Event) bool { return *f.flag(e) }

// SetText puts the value of a Text or Object field into e.
func (f *Field) SetText(e *Event, v string) { *f.text(e) = v }

// SetNumber puts the value of a Num field into e.
func (f *Field) SetNumber(e *Event, v Number) { *f.num(e) = v }

// SetTime puts the value of a Moment field into e.
func (f *Field) SetTime(e *Event, v Time) { *f.time(e) = v }

// SetFlag puts the value of a Flag field into e.
func (f *Field) SetFlag(e *Event, v bool) { *f.flag(e) = v }
