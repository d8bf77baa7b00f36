package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/httpx"
)

// onePixel is a transparent GIF of one pixel.
const onePixel = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// pixel takes one event from the query, for mails and pages without scripts.
func (a *API) pixel(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	if err := a.Requests.Enter(); err != nil {
		httpx.Fail(c, err)
		return
	}
	defer a.Requests.Leave()
	query := c.Request.URL.Query()
	key := headerKey(c.Request.Header)
	if key == "" {
		key = query.Get("api_key")
	}
	holder, err := a.admit(c, key, pixelOrigin(c.Request.Header))
	defer func() { a.refused(holder, err) }()
	if err != nil {
		httpx.Fail(c, err)
		return
	}
	request, err := event.ParseOne(pixelEvent(query), "")
	if err != nil {
		httpx.Fail(c, err)
		return
	}
	answer, err := a.accept(c, holder, &request)
	switch {
	case err != nil:
		httpx.Fail(c, err)
	case answer.Accepted == 0:
		c.JSON(http.StatusBadRequest, refusal(c, answer))
	default:
		c.Data(http.StatusOK, "image/gif", []byte(onePixel))
	}
}

// pixelOrigin is the page that shows the pixel: images come without Origin.
func pixelOrigin(h http.Header) string {
	if origin := h.Get("Origin"); origin != "" {
		return origin
	}
	page, err := url.Parse(h.Get("Referer"))
	if err != nil || page.Host == "" {
		return ""
	}
	return page.Scheme + "://" + page.Host
}

// pixelEvent writes query parameters as the JSON of an event. Parameters are
// text; what must be a number, a time or an object is taken as one when it
// looks like one, and what does not is refused as in a body.
func pixelEvent(query url.Values) string {
	members := make(map[string]json.RawMessage, len(query))
	for name, values := range query {
		if name == "api_key" {
			continue
		}
		value := values[0]
		if typed(name) && json.Valid([]byte(value)) {
			members[name] = json.RawMessage(value)
			continue
		}
		text, _ := json.Marshal(strings.ToValidUTF8(value, "�"))
		members[name] = text
	}
	object, _ := json.Marshal(members)
	return string(object)
}

// typed says whether a parameter is more than text.
func typed(name string) bool {
	switch name {
	case "properties", "custom_data", "sent_at", "items", "price", "quantity", "amount", "results":
		return true
	}
	f := event.FieldNamed(name)
	return f != nil && f.Client && f.Kind != event.Text
}
