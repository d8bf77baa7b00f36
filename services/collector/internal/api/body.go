package api

import (
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/gin-gonic/gin"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/collector/internal/limit"
)

// Limits of a body.
const (
	maxSent     = 1 << 20
	maxUnpacked = 4 << 20
	maxDiscard  = 4 << 20 // of a refused body, so that its sender comes to reading the answer

	discardedAnyhow = 256 << 10 // by net/http, before it writes the answer
)

// body reads the request's body, unpacked. done must be called when nothing of
// it is needed any more, also after an error.
func (a *API) body(c *gin.Context) (body string, done func(), err error) {
	r := reading{memory: a.Memory}
	packed, err := encodingOf(c.Request.Header)
	if err == nil && c.Request.ContentLength > maxSent {
		err = errTooLarge(maxSent)
	}
	if err != nil {
		a.discard(c)
		return "", r.done, err
	}
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(a.BodyTimeout)) // tests' recorders cannot
	sent := http.MaxBytesReader(nil, c.Request.Body, maxSent)
	var bytes []byte
	if packed {
		bytes, err = r.unpack(sent)
	} else {
		bytes, err = r.all(sent, c.Request.ContentLength, maxSent)
	}
	if err != nil {
		a.discard(c)
		return "", r.done, explain(err)
	}
	// Nobody writes to bytes from here on, which is all that a string asks.
	return unsafe.String(unsafe.SliceData(bytes), len(bytes)), r.done, nil
}

// discard reads on what a client is still sending, within limits: one that is
// busy sending when the connection closes would see no answer at all.
func (a *API) discard(c *gin.Context) {
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(min(a.BodyTimeout, 5*time.Second)))
	if n := c.Request.ContentLength; n < 0 || n > discardedAnyhow {
		_, _ = io.CopyN(io.Discard, c.Request.Body, maxDiscard)
	}
}

// encodingOf checks what the headers say about the body.
func encodingOf(h http.Header) (packed bool, err error) {
	if sent := h.Get("Content-Type"); sent != "" {
		kind, parameters, err := mime.ParseMediaType(sent)
		charset := strings.ToLower(parameters["charset"])
		if err != nil || kind != "application/json" && kind != "text/plain" || charset != "" && charset != "utf-8" && charset != "utf8" && charset != "us-ascii" {
			return false, fault.New(fault.Unsupported, "unsupported_type",
				"the body must be application/json, or text/plain with JSON in it, in UTF-8; got %.100q", sent)
		}
	}
	switch sent := strings.ToLower(strings.Join(h.Values("Content-Encoding"), ",")); sent {
	case "", "identity":
		return false, nil
	case "gzip", "x-gzip":
		return true, nil
	default:
		return false, fault.New(fault.Unsupported, "unsupported_encoding", "the body must be plain or gzip, got %.100q", sent)
	}
}

func errTooLarge(most int) error {
	return fault.New(fault.TooLarge, "too_large", "the body must be at most %d bytes as sent and %d unpacked; send fewer events at a time", maxSent, maxUnpacked)
}

// explain gives a failure to read its kind.
func explain(err error) error {
	var tooLong *http.MaxBytesError
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &tooLong):
		return errTooLarge(maxSent)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.New(fault.Slow, "body_timeout", "the body came too slowly; try again")
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return fault.New(fault.Invalid, "invalid_gzip", "the body is not the gzip that Content-Encoding says")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, "incomplete_body", "the body ends before it is complete")
	default: // what flate and chunked encoding call their errors is not exported
		return fault.New(fault.Invalid, "unreadable_body", "the body cannot be read")
	}
}

// reading holds a body in memory and counts it.
type reading struct {
	memory *limit.Memory
	held   int
}

func (r *reading) done() {
	r.memory.Give(r.held)
	r.held = 0
}

// hold counts n more bytes.
func (r *reading) hold(n int) error {
	err := r.memory.Take(n)
	if err == nil {
		r.held += n
	}
	return err
}

const (
	firstBuffer = 4 << 10
	trusted     = 64 << 10 // a length up to which memory is set aside before anything has come
)

// all reads everything, at most so many bytes. Memory grows with what has
// really come: a length that is only announced is believed up to a limit.
func (r *reading) all(from io.Reader, announced int64, most int) ([]byte, error) {
	size := firstBuffer
	if announced >= 0 {
		size = int(min(announced, trusted)) + 1 // one more, to see the end without growing
	}
	if err := r.hold(size); err != nil {
		return nil, err
	}
	buffer := make([]byte, 0, size)
	for {
		n, err := from.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case len(buffer) > most:
			return nil, errTooLarge(most)
		case err == io.EOF:
			return buffer, nil
		case err != nil:
			return nil, err
		}
		if len(buffer) == cap(buffer) {
			grown := min(2*cap(buffer), most+1)
			if err := r.hold(grown - cap(buffer)); err != nil {
				return nil, err
			}
			buffer = append(make([]byte, 0, grown), buffer...)
		}
	}
}

var unpackers sync.Pool

// unpack reads gzip, all of its members, at most maxUnpacked bytes of them together.
func (r *reading) unpack(from io.Reader) ([]byte, error) {
	z, ok := unpackers.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	defer unpackers.Put(z)
	if err := z.Reset(from); err != nil {
		if errors.Is(err, io.EOF) {
			err = gzip.ErrHeader // an empty body
		}
		return nil, err
	}
	return r.all(z, -1, maxUnpacked)
}
