// Package bigquery loads files into a table of Google's, by its own client. It
// is apart from the other destinations because that client brings half of what
// the consumer's program weighs.
package bigquery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"time"

	"cloud.google.com/go/bigquery"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/maidian/maidian/pkg/destination"
	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/services/consumer/internal/forward"
)

// Warehouse is BigQuery as a destination.
func Warehouse() forward.Warehouse { return forward.Warehouse{Type: "bigquery", Open: open} }

// table is loaded by jobs. A job's id is that of the file, so BigQuery itself
// refuses to load one twice, even if the answer to the first time was lost. A
// job that has failed has loaded nothing, and its id is spent: the next try of
// the same file has the next number.
type table struct {
	settings *destination.BigQuery
	client   *bigquery.Client
}

func open(ctx context.Context, a *forward.Account) (forward.Loader, error) {
	s := a.Settings.(*destination.BigQuery)
	// Only a service account's key: other kinds of credentials can name programs to be run.
	account, err := google.JWTConfigFromJSON([]byte(a.Key), bigquery.Scope)
	if err != nil {
		return nil, fmt.Errorf("the key of the service account: %w", err)
	}
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Transport: a.Web})
	signed := &http.Client{Transport: &oauth2.Transport{Source: account.TokenSource(ctx), Base: a.Web}}
	client, err := bigquery.NewClient(ctx, s.ProjectID, option.WithHTTPClient(signed))
	if err != nil {
		return nil, err
	}
	client.Location = s.Location
	return &table{s, client}, nil
}

// Load waits for the job to end.
func (t *table) Load(ctx context.Context, id string, content []byte) error {
	job, err := t.begin(ctx, id, content)
	if err != nil {
		return answered(err)
	}
	status, err := job.Wait(ctx)
	if err == nil {
		err = status.Err()
	}
	if err != nil {
		return answered(fmt.Errorf("job %s: %w", job.ID(), err))
	}
	return nil
}

// begin begins the job of a file, or finds the one that has been begun.
func (t *table) begin(ctx context.Context, id string, content []byte) (*bigquery.Job, error) {
	job, err := t.insert(ctx, id, 0, content)
	if !isStatus(err, http.StatusConflict) {
		return job, err
	}
	if job, err = t.client.JobFromIDLocation(ctx, id, t.settings.Location); err != nil || !hasFailed(job) {
		return job, err
	}
	last, job, err := t.lastTry(ctx, id)
	if err != nil || job != nil && !hasFailed(job) {
		return job, err
	}
	return t.insert(ctx, id, last+1, content)
}

func hasFailed(job *bigquery.Job) bool {
	status := job.LastStatus()
	return status.Done() && status.Err() != nil
}

// mostTries is more than there is time for.
const mostTries = 1 << 16

// lastTry is the number of the last job of a file after the first, and that
// job; 0: there is none. Tries are numbered without gaps.
func (t *table) lastTry(ctx context.Context, id string) (last int, job *bigquery.Job, err error) {
	last = sort.Search(mostTries, func(i int) bool {
		if err != nil {
			return true
		}
		found, wrong := t.client.JobFromIDLocation(ctx, tryID(id, i+1), t.settings.Location)
		switch {
		case wrong == nil:
			job = found
			return false
		case !isStatus(wrong, http.StatusNotFound):
			err = wrong
		}
		return true
	})
	return last, job, err
}

func tryID(id string, try int) string {
	if try == 0 {
		return id
	}
	return fmt.Sprintf("%s-try%d", id, try)
}

func (t *table) insert(ctx context.Context, id string, try int, content []byte) (*bigquery.Job, error) {
	file := bigquery.NewReaderSource(bytes.NewReader(content))
	file.SourceFormat = bigquery.Parquet
	loader := t.client.Dataset(t.settings.Dataset).Table(t.settings.Table).LoaderFrom(file)
	loader.JobID, loader.Location = tryID(id, try), t.settings.Location
	loader.WriteDisposition, loader.CreateDisposition = bigquery.WriteAppend, bigquery.CreateIfNeeded
	loader.SchemaUpdateOptions = []string{"ALLOW_FIELD_ADDITION"}
	return loader.Run(ctx)
}

// failedWait is how long to wait after a job has failed: a table takes 1,500 a day.
const failedWait = 5 * time.Minute

// answered tells what BigQuery has said. No row is to blame for it: what is in
// Parquet has its type, so it is the table, the account or the quota that is
// wrong, and can be put right.
func answered(err error) error {
	wait := time.Duration(0)
	if failed := (*bigquery.Error)(nil); errors.As(err, &failed) {
		wait = failedWait
	}
	return &fault.Error{Kind: fault.Unavailable, Code: "not_loaded", Message: err.Error(), RetryAfter: wait}
}

func isStatus(err error, status int) bool {
	answer := (*googleapi.Error)(nil)
	return errors.As(err, &answer) && answer.Code == status
}

func (t *table) Close() error { return t.client.Close() }
