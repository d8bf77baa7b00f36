package intake

import "sync"

// pool keeps message bodies for reuse. Very large ones are left to the collector of garbage.
type pool struct{ sync.Pool }

const (
	smallBody = 32 << 10
	largeBody = 1 << 20
)

func (p *pool) get() []byte {
	if b, ok := p.Get().(*[]byte); ok {
		return (*b)[:headerRoom]
	}
	return make([]byte, headerRoom, smallBody)
}

func (p *pool) put(b []byte) {
	if cap(b) <= largeBody+headerRoom {
		p.Put(&b)
	}
}

var bodies pool
