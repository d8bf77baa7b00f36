package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/store"
)

// project is a project as the collection has it.
type project struct {
	ID        string        `bson:"_id"`
	Name      string        `bson:"name"`
	Timezone  string        `bson:"timezone"`
	Currency  string        `bson:"currency"`
	Origins   []string      `bson:"origins"`
	IPPolicy  string        `bson:"ip_policy"`
	Keys      []projectKey  `bson:"keys"`
	CreatedAt bson.DateTime `bson:"created_at"`
	Revision  int64         `bson:"revision"`

	RetentionDays int   `bson:"retention_days,omitempty"`
	PrunedBefore  int32 `bson:"pruned_before,omitempty"`
}

type projectKey struct {
	ID        string        `bson:"id"`
	Kind      string        `bson:"kind"`
	Prefix    string        `bson:"prefix"`
	Hash      string        `bson:"hash"`
	CreatedAt bson.DateTime `bson:"created_at"`
	RevokedAt bson.DateTime `bson:"revoked_at,omitempty"`
}

func projectOf(p *store.Project) project {
	keys := make([]projectKey, len(p.Keys))
	for i, k := range p.Keys {
		keys[i] = projectKey{k.ID, k.Kind, k.Prefix, k.Hash, bson.DateTime(k.CreatedAt), bson.DateTime(k.RevokedAt)}
	}
	return project{
		ID: p.ID, Name: p.Name, Timezone: p.Timezone, Currency: p.Currency, Origins: append([]string{}, p.Origins...),
		IPPolicy: p.IPPolicy, Keys: keys, CreatedAt: bson.DateTime(p.CreatedAt), Revision: p.Revision,
		RetentionDays: p.RetentionDays, PrunedBefore: p.PrunedBefore,
	}
}

func (p *project) project() store.Project {
	var keys []store.Key
	for _, k := range p.Keys {
		keys = append(keys, store.Key{
			ID: k.ID, Kind: k.Kind, Prefix: k.Prefix, Hash: k.Hash,
			CreatedAt: event.Time(k.CreatedAt), RevokedAt: event.Time(k.RevokedAt),
		})
	}
	return store.Project{
		ID: p.ID, Name: p.Name, Timezone: p.Timezone, Currency: p.Currency, Origins: append([]string(nil), p.Origins...),
		IPPolicy: p.IPPolicy, Keys: keys, CreatedAt: event.Time(p.CreatedAt), Revision: p.Revision,
		RetentionDays: p.RetentionDays, PrunedBefore: p.PrunedBefore,
	}
}

// Projects is described by store.Projects.
func (s *Store) Projects(ctx context.Context) ([]store.Project, error) {
	cursor, err := s.projects.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, kind(ctx, "read projects", err)
	}
	var docs []project
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, kind(ctx, "read projects", err)
	}
	var projects []store.Project
	for i := range docs {
		projects = append(projects, docs[i].project())
	}
	return projects, nil
}

// CreateProject is described by store.Projects.
func (s *Store) CreateProject(ctx context.Context, p store.Project) error {
	_, err := s.projects.InsertOne(ctx, projectOf(&p))
	if mongo.IsDuplicateKeyError(err) {
		return store.ErrConflict
	}
	return kind(ctx, "create project "+p.ID, err)
}

// UpdateProject is described by store.Projects.
func (s *Store) UpdateProject(ctx context.Context, p store.Project) error {
	doc := projectOf(&p)
	doc.Revision++
	return replaceRevision(ctx, s.projects, "update project "+p.ID, p.ID, p.Revision, doc)
}
