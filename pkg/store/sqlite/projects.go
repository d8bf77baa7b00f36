package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// Projects is described by store.Projects.
func (s *Store) Projects(ctx context.Context) ([]store.Project, error) {
	projects, err := s.projects(ctx)
	return projects, s.kind(ctx, "read projects", err)
}

func (s *Store) projects(ctx context.Context) ([]store.Project, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT project, name, timezone, currency, origins, ip_policy, keys, created_at, revision, retention_days, pruned_before
		FROM projects ORDER BY project`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var projects []store.Project
	for rows.Next() {
		var p store.Project
		var origins, keys string
		if err := rows.Scan(&p.ID, &p.Name, &p.Timezone, &p.Currency, &origins, &p.IPPolicy, &keys, &p.CreatedAt, &p.Revision, &p.RetentionDays, &p.PrunedBefore); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(origins), &p.Origins); err != nil {
			return nil, fmt.Errorf("origins of project %s: %w", p.ID, err)
		}
		if p.Keys, err = decodeKeys(keys); err != nil {
			return nil, fmt.Errorf("keys of project %s: %w", p.ID, err)
		}
		projects = append(projects, p)
	}
	return projects, rows.Err()
}

// CreateProject is described by store.Projects.
func (s *Store) CreateProject(ctx context.Context, p store.Project) error {
	origins, keys, err := encodeLists(&p)
	if err != nil {
		return err
	}
	return s.do(ctx, "create project "+p.ID, 1, func(t *transaction) error {
		return created(t.Exec(`INSERT OR IGNORE INTO projects (project, name, timezone, currency, origins, ip_policy, keys, created_at, revision, retention_days, pruned_before)
			VALUES (?,?,?,?,?,?,?,?,?,?,?)`, p.ID, p.Name, p.Timezone, p.Currency, origins, p.IPPolicy, keys, int64(p.CreatedAt), p.Revision, p.RetentionDays, p.PrunedBefore))
	})
}

// UpdateProject is described by store.Projects.
func (s *Store) UpdateProject(ctx context.Context, p store.Project) error {
	origins, keys, err := encodeLists(&p)
	if err != nil {
		return err
	}
	return s.do(ctx, "update project "+p.ID, 1, func(t *transaction) error {
		result, err := t.Exec(`UPDATE projects SET name = ?, timezone = ?, currency = ?, origins = ?, ip_policy = ?, keys = ?, created_at = ?,
			retention_days = ?, pruned_before = ?, revision = revision + 1 WHERE project = ? AND revision = ?`,
			p.Name, p.Timezone, p.Currency, origins, p.IPPolicy, keys, int64(p.CreatedAt), p.RetentionDays, p.PrunedBefore, p.ID, p.Revision)
		return t.replaced(result, err, `SELECT EXISTS (SELECT 1 FROM projects WHERE project = ?)`, p.ID)
	})
}

// storedKey is a key as the projects table has it.
type storedKey struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"`
	Prefix    string `json:"prefix"`
	Hash      string `json:"hash"`
	CreatedAt int64  `json:"created_at"`
	RevokedAt int64  `json:"revoked_at,omitempty"`
}

func encodeLists(p *store.Project) (origins, keys string, err error) {
	list := make([]storedKey, len(p.Keys))
	for i, k := range p.Keys {
		list[i] = storedKey{k.ID, k.Kind, k.Prefix, k.Hash, int64(k.CreatedAt), int64(k.RevokedAt)}
	}
	k, err := json.Marshal(list)
	if err != nil {
		return "", "", err
	}
	o, err := json.Marshal(p.Origins)
	return string(o), string(k), err
}

func decodeKeys(text string) ([]store.Key, error) {
	var list []storedKey
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	var keys []store.Key
	for _, k := range list {
		keys = append(keys, store.Key{ID: k.ID, Kind: k.Kind, Prefix: k.Prefix, Hash: k.Hash, CreatedAt: event.Time(k.CreatedAt), RevokedAt: event.Time(k.RevokedAt)})
	}
	return keys, nil
}
