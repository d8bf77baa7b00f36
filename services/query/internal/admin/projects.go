// Package admin is what the holder of the admin key does: projects, their
// keys, the dead letters, and the erasure of people.
package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/event"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/secret"
	"github.com/maidian/maidian/pkg/store"
	"github.com/maidian/maidian/services/query/internal/auth"
)

// Admin changes projects and keys in the store, and has the snapshot of keys
// read again at once, so that what was created works with the next request.
type Admin struct {
	store  Store
	keys   Refresher
	eraser Eraser
	now    func() time.Time

	secrets *secret.Keys
	pruner  Pruner
}

// Store is what administration needs of it.
type Store interface {
	store.Projects
	store.DeadLetters
	store.Records
	store.Journal
	Event(ctx context.Context, project, id string) (*event.Event, error)
	EventsOfBatches(ctx context.Context, project string, ids []string, yield func(*event.Event) error) error
	InsertEvents(ctx context.Context, events []event.Event) ([]store.Outcome, error)
}

// Refresher reads the keys again.
type Refresher interface {
	Refresh(ctx context.Context) error
}

// New administers the store.
func New(s Store, keys Refresher, eraser Eraser, now func() time.Time) *Admin {
	return &Admin{store: s, keys: keys, eraser: eraser, now: now, secrets: &secret.Keys{}}
}

// SealWith are the keys that secrets are kept with; without them none are.
func (a *Admin) SealWith(keys *secret.Keys) { a.secrets = keys }

// Settings are what a caller says about a project. In a change, what is
// missing stays as it is.
type Settings struct {
	ID       string    `json:"id"`
	Name     *string   `json:"name"`
	Timezone *string   `json:"timezone"`
	Currency *string   `json:"currency"`
	Origins  *[]string `json:"origins"`
	IPPolicy *string   `json:"ip_policy"`

	RetentionDays *int `json:"retention_days"`
}

// Project is a project as it is shown: keys only as prefixes.
type Project struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Timezone  string     `json:"timezone"`
	Currency  string     `json:"currency"`
	Origins   []string   `json:"origins"`
	IPPolicy  string     `json:"ip_policy"`
	Keys      []Key      `json:"keys"`
	CreatedAt event.Time `json:"created_at"`

	RetentionDays int        `json:"retention_days"` // 0: for ever
	RetainedFrom  event.Time `json:"retained_from"`  // what happened before is gone, or going
}

// Key is a key as it is shown.
type Key struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`
	Prefix    string     `json:"prefix"`
	CreatedAt event.Time `json:"created_at"`
	RevokedAt event.Time `json:"revoked_at"`
}

// Created is a new project with its two keys, which are shown this once.
type Created struct {
	Project
	WriteKey string `json:"write_key"`
	ReadKey  string `json:"read_key"`
}

// CreatedKey is a new key, which is shown this once.
type CreatedKey struct {
	Key
	Secret string `json:"key"`
}

// Create makes a project with one write and one read key.
func (a *Admin) Create(ctx context.Context, s Settings) (*Created, error) {
	now := event.TimeOf(a.now())
	p := store.Project{ID: s.ID, CreatedAt: now, IPPolicy: store.IPMask, Timezone: "UTC"}
	if p.ID == "" {
		p.ID = "p-" + random()[:12]
	}
	if err := errors.Join(checkID(p.ID), apply(&p, s)); err != nil {
		return nil, err
	}
	if p.Name == "" {
		p.Name = p.ID
	}
	write, writeSecret := newKey(store.WriteKey, now)
	read, readSecret := newKey(store.ReadKey, now)
	p.Keys = []store.Key{write, read}
	err := a.store.CreateProject(ctx, p)
	if errors.Is(err, store.ErrConflict) {
		return nil, &fault.Error{Kind: fault.Conflict, Code: "id_taken", Field: "id", Message: fmt.Sprintf("there is already a project %q", p.ID)}
	}
	if err != nil {
		return nil, fmt.Errorf("create project: %w", err)
	}
	return &Created{show(p), writeSecret, readSecret}, a.keys.Refresh(ctx)
}

// List is all projects, as the store has them.
func (a *Admin) List(ctx context.Context) ([]Project, error) {
	projects, err := a.store.Projects(ctx)
	if err != nil {
		return nil, fmt.Errorf("read projects: %w", err)
	}
	shown := make([]Project, len(projects))
	for i, p := range projects {
		shown[i] = show(p)
	}
	return shown, nil
}

// Get is one project.
func (a *Admin) Get(ctx context.Context, id string) (*Project, error) {
	p, err := a.find(ctx, id)
	if err != nil {
		return nil, err
	}
	shown := show(*p)
	return &shown, nil
}

// Change sets what s names and leaves the rest.
func (a *Admin) Change(ctx context.Context, id string, s Settings) (*Project, error) {
	if s.ID != "" && s.ID != id {
		return nil, fault.Field("id", "a project keeps its id")
	}
	return a.update(ctx, id, func(p *store.Project) error { return apply(p, s) })
}

// AddKey makes one more key, so that keys can be rotated without a gap.
func (a *Admin) AddKey(ctx context.Context, id, kind string) (*CreatedKey, error) {
	if kind != store.WriteKey && kind != store.ReadKey {
		return nil, fault.Field("kind", "must be %q or %q, got %q", store.WriteKey, store.ReadKey, kind)
	}
	key, secret := newKey(kind, event.TimeOf(a.now()))
	_, err := a.update(ctx, id, func(p *store.Project) error {
		p.Keys = append(p.Keys, key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &CreatedKey{showKey(key), secret}, nil
}

// RevokeKey stops a key. It stays in the list, so that people can see when it ended.
func (a *Admin) RevokeKey(ctx context.Context, id, keyID string) (*Project, error) {
	return a.update(ctx, id, func(p *store.Project) error {
		for i := range p.Keys {
			if k := &p.Keys[i]; k.ID == keyID {
				if k.RevokedAt == 0 {
					k.RevokedAt = event.TimeOf(a.now())
				}
				return nil
			}
		}
		return fault.New(fault.NotFound, "unknown_key", "project %q has no key with the id %q", id, keyID)
	})
}

// tries is how often a change is made again because somebody else changed the project meanwhile.
const tries = 10

func (a *Admin) update(ctx context.Context, id string, change func(*store.Project) error) (*Project, error) {
	for range tries {
		p, err := a.find(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := change(p); err != nil {
			return nil, err
		}
		err = a.store.UpdateProject(ctx, *p)
		if err == nil {
			shown := show(*p)
			return &shown, a.keys.Refresh(ctx)
		}
		if !errors.Is(err, store.ErrConflict) {
			return nil, fmt.Errorf("change project: %w", err)
		}
	}
	return nil, fault.New(fault.Conflict, "changed_meanwhile", "project %q is being changed by others again and again: try later", id)
}

// find reads the project from the store, not from the snapshot, which may be a second old.
func (a *Admin) find(ctx context.Context, id string) (*store.Project, error) {
	projects, err := a.store.Projects(ctx)
	if err != nil {
		return nil, fmt.Errorf("read projects: %w", err)
	}
	for i := range projects {
		if projects[i].ID == id {
			return &projects[i], nil
		}
	}
	return nil, fault.New(fault.NotFound, "unknown_project", "there is no project %q", id)
}

var idPattern = regexp.MustCompile(`^[a-z0-9_-]{1,40}$`)

func checkID(id string) error {
	if !idPattern.MatchString(id) {
		return fault.Field("id", "must be 1 to 40 of a-z, 0-9, _ and -, got %q", id)
	}
	return nil
}

const maxName = 200 // characters

// apply checks each setting that is there and puts it into the project.
func apply(p *store.Project, s Settings) error {
	if s.Name != nil {
		if p.Name = strings.TrimSpace(*s.Name); len([]rune(p.Name)) > maxName {
			return fault.Field("name", "must have at most %d characters", maxName)
		}
	}
	if s.Timezone != nil {
		if err := CheckTimezone("timezone", *s.Timezone); err != nil {
			return err
		}
		p.Timezone = *s.Timezone
	}
	if s.Currency != nil {
		if *s.Currency != "" && !event.IsCurrency(*s.Currency) {
			return fault.Field("currency", "must be an ISO 4217 code such as \"EUR\", got %q", *s.Currency)
		}
		p.Currency = *s.Currency
	}
	if s.Origins != nil {
		for i, o := range *s.Origins {
			if err := checkOrigin(fmt.Sprintf("origins[%d]", i), o); err != nil {
				return err
			}
		}
		p.Origins = *s.Origins
	}
	if s.IPPolicy != nil {
		if *s.IPPolicy != store.IPFull && *s.IPPolicy != store.IPMask && *s.IPPolicy != store.IPDrop {
			return fault.Field("ip_policy", "must be %q, %q or %q, got %q", store.IPFull, store.IPMask, store.IPDrop, *s.IPPolicy)
		}
		p.IPPolicy = *s.IPPolicy
	}
	if s.RetentionDays != nil {
		if err := checkRetention(*s.RetentionDays); err != nil {
			return err
		}
		p.RetentionDays = *s.RetentionDays
	}
	return nil
}

// CheckTimezone is nil for the name of a zone in the IANA database. "Local" is
// none: it would mean another zone on every machine.
func CheckTimezone(field, name string) error {
	if _, err := time.LoadLocation(name); err != nil || name == "" || name == "Local" {
		return fault.Field(field, "must be an IANA zone such as \"Europe/Berlin\", got %q", name)
	}
	return nil
}

// checkOrigin takes what browsers send as Origin: scheme, host, and the port unless it is the scheme's own.
func checkOrigin(field, origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.Scheme+"://"+u.Host != origin {
		return fault.Field(field, "must be an origin such as \"https://shop.example\", without a path, got %q", origin)
	}
	return nil
}

// prefixLen is how much of a key is kept and shown: enough to tell keys apart, too little to guess one.
const prefixLen = 8

// newKey makes a key with 128 random bits.
func newKey(kind string, now event.Time) (store.Key, string) {
	secret := auth.ReadPrefix + random()
	if kind == store.WriteKey {
		secret = auth.WritePrefix + random()
	}
	return store.Key{ID: "key_" + random()[:12], Kind: kind, Prefix: secret[:prefixLen], Hash: auth.Hash(secret), CreatedAt: now}, secret
}

func random() string { return strings.ToLower(rand.Text()) }

func show(p store.Project) Project {
	shown := Project{
		ID: p.ID, Name: p.Name, Timezone: cmp.Or(p.Timezone, "UTC"), Currency: p.Currency, Origins: p.Origins,
		IPPolicy: cmp.Or(p.IPPolicy, store.IPMask), Keys: []Key{}, CreatedAt: p.CreatedAt,
		RetentionDays: p.RetentionDays, RetainedFrom: event.Time(p.PrunedBefore) * 24 * 60 * 60 * 1000,
	}
	if shown.Origins == nil {
		shown.Origins = []string{}
	}
	for _, k := range p.Keys {
		shown.Keys = append(shown.Keys, showKey(k))
	}
	return shown
}

func showKey(k store.Key) Key { return Key{k.ID, k.Kind, k.Prefix, k.CreatedAt, k.RevokedAt} }
