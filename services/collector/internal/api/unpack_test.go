package api

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/collector/internal/limit"
)

// FuzzUnpack unpacks whatever says that it is gzip: strangers' bytes, and good
// members one after another, of which some byte was changed and the end cut off.
// What is taken is what the standard library's reader gives, what that refuses is
// refused, and never is more held in memory than a body may have.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte(packed(`{"event_type":"x"}`)), "", uint8(0), uint32(0), uint16(0))
	f.Add([]byte{}, `{"event_type":"x"}`, uint8(64+2), uint32(3<<20), uint16(0))
	f.Add([]byte("behind"), "a", uint8(64+1), uint32(maxUnpacked), uint16(0))
	f.Add([]byte{}, "", uint8(64+3), uint32(maxUnpacked), uint16(0))
	f.Add([]byte{}, "", uint8(67), uint32(maxUnpacked+1), uint16(0))
	f.Add([]byte{}, "ab", uint8(40), uint32(200_000), uint16(77))
	f.Add([]byte{0, 0, 0}, "\x00", uint8(1), uint32(100), uint16(0x8005))
	zipper, _ := gzip.NewWriterLevel(nil, flate.BestSpeed) // made once: it is large
	f.Fuzz(func(t *testing.T, raw []byte, text string, members uint8, size uint32, damage uint16) {
		if members < 64 { // most trials are small, and quick
			size %= 20_000
		}
		sent := append(membersOf(zipper, text, members, size%(2*maxUnpacked)), raw...)
		if at := int(damage & 0x7fff); damage != 0 && at < len(sent) {
			if sent[at] ^= 1 << (at % 8); damage&0x8000 != 0 {
				sent = sent[:at]
			}
		}
		want, wrong := standard(sent)
		memory := limit.NewMemory(maxUnpacked+1, prometheus.NewRegistry()) // one more, to see that there is more
		r := reading{memory: memory}
		got, err := r.unpack(bytes.NewReader(sent))
		switch known := (*fault.Error)(nil); {
		case len(want) > maxUnpacked:
			if !errors.As(err, &known) || known.Kind != fault.TooLarge {
				t.Fatalf("more than %d bytes: got %v, want it too large", maxUnpacked, err)
			}
		case (err == nil) != (wrong == nil):
			t.Fatalf("got %v, the standard library says %v", err, wrong)
		case err != nil && fault.KindOf(explain(err)) != fault.Invalid:
			t.Fatalf("%v becomes %v, want it invalid", err, explain(err))
		case err == nil && (!bytes.Equal(got, want) || cap(got) > maxUnpacked+1):
			t.Fatalf("got %d bytes in %d, want %d", len(got), cap(got), len(want))
		}
		if r.done(); memory.Held() != 0 {
			t.Fatalf("%d bytes are still held", memory.Held())
		}
	})
}

// membersOf are so many gzip members one after another that hold size bytes, the text over and over.
func membersOf(w *gzip.Writer, text string, members uint8, size uint32) []byte {
	var b bytes.Buffer
	for range members % 64 {
		w.Reset(&b)
		if each := int(size) / int(members%64); text == "" {
			_, _ = w.Write(make([]byte, each))
		} else {
			_, _ = io.CopyN(w, strings.NewReader(strings.Repeat(text, each/len(text)+1)), int64(each))
		}
		_ = w.Close()
	}
	return b.Bytes()
}

// standard is what the standard library reads, one byte above the limit at most.
func standard(sent []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, maxUnpacked+1))
}
