package mongo

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/maidian/maidian/pkg/fault"
	"github.com/maidian/maidian/pkg/store"
)

// kind says what was being done and gives the driver's error the kind on
// which the callers act.
func kind(ctx context.Context, doing string, err error) error {
	if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		return err
	}
	if ctx.Err() != nil { // the caller's own end, which the driver words as its own
		err = context.Cause(ctx)
	}
	err = fmt.Errorf("%s: %w", doing, err)
	switch kindOf(err) {
	case fault.Unavailable:
		return unavailable(err)
	case fault.Invalid:
		return &fault.Error{Kind: fault.Invalid, Code: "unstorable", Message: "the store cannot take this", Err: err}
	}
	return err
}

func unavailable(err error) error {
	return &fault.Error{Kind: fault.Unavailable, Code: "store_unavailable", Message: "the store is away", Err: err}
}

func kindOf(err error) fault.Kind {
	switch {
	case fault.KindOf(err) != fault.Unknown:
		return fault.KindOf(err)
	case away(err):
		return fault.Unavailable
	case errors.Is(err, driver.ErrDocumentTooLarge) || anyCode(err, permanent):
		return fault.Invalid
	}
	return fault.Unknown
}

// away says that the server was not reached, is changing its role, or could
// not promise durability: the same operation may work later.
func away(err error) bool {
	if mongo.IsNetworkError(err) || mongo.IsTimeout(err) || errors.Is(err, mongo.ErrClientDisconnected) {
		return true
	}
	if errors.As(err, &topology.ServerSelectionError{}) || errors.As(err, &topology.ConnectionError{}) {
		return true
	}
	if bulk := (mongo.BulkWriteException{}); errors.As(err, &bulk) && bulk.WriteConcernError != nil {
		return true
	}
	if write := (mongo.WriteException{}); errors.As(err, &write) && write.WriteConcernError != nil {
		return true
	}
	if e := mongo.ServerError(nil); errors.As(err, &e) {
		return e.HasErrorLabel("RetryableWriteError") || e.HasErrorLabel("TransientTransactionError") || anyCode(err, transient)
	}
	return false
}

func anyCode(err error, codes []int) bool {
	e := mongo.ServerError(nil)
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.HasErrorCode(code) {
			return true
		}
	}
	return false
}

var (
	// transient codes are about the server and its moment, not about what was sent.
	transient = []int{
		6, 7, 89, 9001, // host unreachable, host not found, network timeout, socket
		24, 46, 50, 112, 202, 262, // lock and time limits, write conflict
		64, 79, 100, // write concern: failed, unknown, cannot be satisfied
		91, 11600, 11602, // shutting down, interrupted
		189, 10107, 13435, 13436, 10058, // stepped down, not the primary
		63, 133, 134, 150, 234, 13388, // sharding: stale or unready routes
		14031, 39, // disk full, file not open
	}
	// permanent codes are about the document: the same one fails each time.
	permanent = []int{
		2, 9, 14, 15, 17, 22, // bad value, parse, type, too deep, BSON
		52, 55, 56, 57, // keys that the server does not take
		121,                        // the collection's own validation
		10334, 17280, 17419, 17420, // too large
	}
)

const duplicateKey = 11000

// isDuplicate says that a document with this _id is there already.
func isDuplicate(code int) bool { return code == duplicateKey || code == 11001 || code == 12582 }
