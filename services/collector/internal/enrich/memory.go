package enrich

import "sync"

// memory keeps the agents of recent texts in two generations: when the young
// one is full it becomes the old one, and the old one is forgotten. So at most
// twice the size is held, and what is asked for stays.
type memory struct {
	size       int
	mu         sync.RWMutex
	young, old map[string]Agent
}

func newMemory(size int) *memory {
	return &memory{size: size, young: map[string]Agent{}, old: map[string]Agent{}}
}

func (m *memory) get(text string) (Agent, bool) {
	m.mu.RLock()
	a, young := m.young[text]
	if young {
		m.mu.RUnlock()
		return a, true
	}
	a, old := m.old[text]
	m.mu.RUnlock()
	if old {
		m.put(text, a)
	}
	return a, old
}

func (m *memory) put(text string, a Agent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.young) >= m.size {
		m.young, m.old = make(map[string]Agent, m.size), m.young
	}
	m.young[text] = a
}
