package forward

import (
	"bytes"
	"context"
	"fmt"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/parquet-go/parquet-go"

	"github.com/maidian/maidian/pkg/destination"
)

// bucket takes the same files as a folder does, as objects.
type bucket struct {
	layout
	name   string
	client *minio.Client
}

func (o *opening) s3(s *destination.S3) (Target, error) {
	access, err := o.secret("access_key", s.AccessKey)
	if err != nil {
		return nil, err
	}
	secret, err := o.secret("secret_key", s.SecretKey)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds:      credentials.NewStaticV4(access, secret, ""),
		Secure:     !s.Insecure,
		Region:     s.Region,
		Transport:  o.near(),
		MaxRetries: 1, // who forwards tries again, and says so
	})
	if err != nil {
		return nil, err
	}
	return &bucket{layout{&s.Layout, &o.definition.Shape, parquet.JSON()}, s.Bucket, client}, nil
}

func (t *bucket) Send(ctx context.Context, b Batch) error {
	for _, f := range t.files(b) {
		content, err := t.content(f)
		if err != nil {
			return err
		}
		kind := "application/x-ndjson"
		if t.Format == destination.Parquet {
			kind = "application/vnd.apache.parquet"
		}
		_, err = t.client.PutObject(ctx, t.name, f.name, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{ContentType: kind})
		if err != nil {
			return fmt.Errorf("put %s: %w", f.name, err)
		}
	}
	return nil
}

func (t *bucket) Close() error { return nil }
