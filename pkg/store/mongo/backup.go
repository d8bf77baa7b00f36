package mongo

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A backup is gzipped BSON: a heading, and then for each collection its name
// and its documents, each part closed by an empty document, and at the end how
// many documents there are, so that half a file is known to be one.
const backupFormat = "maidian backup 1"

type heading struct {
	Format string `bson:"format"`
}

type section struct {
	Collection string `bson:"collection"`
	Documents  int64  `bson:"documents,omitempty"` // at the end, with no collection: of all
}

// inBackups are the collections that a backup has, the journal first: of events
// only those are taken that it names, so that a backup is as of one moment
// however long it takes. Segments are left out, they are derived again.
func (s *Store) inBackups() []*mongo.Collection {
	return []*mongo.Collection{s.batches, s.events, s.deadLetters, s.discards, s.projects, s.jobs, s.tallies, s.records}
}

// Backup writes all that the store has, and says how many documents that are.
// Nothing may be erased or pruned meanwhile: it fails when a job is under way.
func (s *Store) Backup(ctx context.Context, to io.Writer) (documents int64, err error) {
	if err := s.atRest(ctx); err != nil {
		return 0, err
	}
	z := gzip.NewWriter(to)
	b := &backup{to: z, journal: make(map[uint64]struct{})}
	b.put(heading{backupFormat})
	for _, from := range s.inBackups() {
		if err := b.collection(ctx, from, from == s.batches, from == s.events); err != nil {
			return b.documents, fmt.Errorf("back up %s: %w", from.Name(), err)
		}
	}
	b.put(section{Documents: b.documents})
	return b.documents, errors.Join(b.err, z.Close(), s.atRest(ctx))
}

func (s *Store) atRest(ctx context.Context) error {
	jobs, err := s.UnfinishedJobs(ctx)
	if err == nil && len(jobs) > 0 {
		err = fmt.Errorf("job %s of project %s is under way, which deletes events: back up when it is done", jobs[0].ID, jobs[0].Project)
	}
	return err
}

type backup struct {
	to        io.Writer
	journal   map[uint64]struct{} // the batches that are in it
	documents int64
	err       error
}

func (b *backup) put(doc any) {
	text, err := bson.Marshal(doc)
	if b.err = errors.Join(b.err, err); b.err == nil {
		_, b.err = b.to.Write(text)
	}
}

func (b *backup) collection(ctx context.Context, from *mongo.Collection, journal, events bool) error {
	b.put(section{Collection: from.Name()})
	cursor, err := from.Find(ctx, bson.D{})
	if err != nil {
		return err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for b.err == nil && cursor.Next(ctx) {
		if journal {
			b.journal[batchIn(cursor.Current)] = struct{}{}
		}
		if _, known := b.journal[batchIn(cursor.Current)]; events && !known {
			continue // it came after the journal was read
		}
		b.documents++
		_, b.err = b.to.Write(cursor.Current)
	}
	b.put(bson.D{})
	return errors.Join(b.err, cursor.Err())
}

// batchIn is the batch that a document of the journal or of events names.
func batchIn(doc bson.Raw) uint64 {
	id, _ := doc.Lookup("batch_id").StringValueOK()
	project, _ := doc.Lookup("project").StringValueOK()
	return xxhash.Sum64String(key(project, id))
}

var errNotBackup = errors.New("this is no backup of Maidian that this program can read")

// Restore reads a backup into an empty store, and says how many documents that
// are. After an error the store is good for nothing: drop it and begin again.
func (s *Store) Restore(ctx context.Context, from io.Reader) (documents int64, err error) {
	if err := s.empty(ctx); err != nil {
		return 0, err
	}
	z, err := gzip.NewReader(bufio.NewReader(from))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNotBackup, err)
	}
	r := bufio.NewReaderSize(z, 1<<20)
	var head heading
	if err := read(r, &head); err != nil || head.Format != backupFormat {
		return 0, errors.Join(errNotBackup, err)
	}
	for {
		var next section
		if err := read(r, &next); err != nil {
			return documents, fmt.Errorf("the backup breaks off after %d documents: %w", documents, err)
		}
		if next.Collection == "" {
			if next.Documents != documents {
				return documents, fmt.Errorf("the backup should have %d documents, there are %d", next.Documents, documents)
			}
			return documents, nil
		}
		n, err := s.restore(ctx, next.Collection, r)
		if documents += n; err != nil {
			return documents, fmt.Errorf("restore %s: %w", next.Collection, err)
		}
	}
}

// empty fails when there is anything that a backup would mix with.
func (s *Store) empty(ctx context.Context) error {
	for _, c := range s.inBackups() {
		err := c.FindOne(ctx, bson.D{}).Err()
		if err == nil {
			return fmt.Errorf("the database has documents in %s already: restore into an empty one", c.Name())
		}
		if !errors.Is(err, mongo.ErrNoDocuments) {
			return kind(ctx, "look whether the store is empty", err)
		}
	}
	return nil
}

func (s *Store) restore(ctx context.Context, collection string, from io.Reader) (documents int64, err error) {
	into := s.events.Database().Collection(collection)
	var some []any
	flush := func() error {
		if len(some) == 0 {
			return nil
		}
		_, err := into.InsertMany(ctx, some, options.InsertMany().SetOrdered(false))
		documents, some = documents+int64(len(some)), nil
		return err
	}
	for {
		doc, err := document(from)
		if err != nil {
			return documents, err
		}
		if len(doc) == len(emptyDocument) {
			return documents, flush()
		}
		if some = append(some, doc); len(some) == mostInserts {
			if err := flush(); err != nil {
				return documents, err
			}
		}
	}
}

var emptyDocument = [5]byte{5}

// document reads the next one.
func document(from io.Reader) (bson.Raw, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < uint32(len(emptyDocument)) || n > 16<<20 {
		return nil, fmt.Errorf("a document of %d bytes", n)
	}
	doc := make(bson.Raw, n)
	copy(doc, length[:])
	if _, err := io.ReadFull(from, doc[4:]); err != nil {
		return nil, err
	}
	return doc, doc.Validate()
}

func read(from io.Reader, into any) error {
	doc, err := document(from)
	if err == nil {
		err = bson.Unmarshal(doc, into)
	}
	return err
}
