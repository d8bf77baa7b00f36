package forward

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/maidian/maidian/pkg/fault"
)

// mostAnswer is how much of an answer is read.
const mostAnswer = 1 << 20

// request makes a request and returns the answer's body if the status is 2xx. Only
// what says that the body is wrong is an error of kind fault.Invalid: a wrong
// password, address or path is the same for all events and can be put right.
func request(client Doer, r *http.Request) ([]byte, error) {
	answer, err := client.Do(r)
	if err != nil { // such as an address that may not be spoken to: no event is to blame
		if whole := (*url.Error)(nil); errors.As(err, &whole) {
			err = fmt.Errorf("ask %s: %w", r.URL.Host, whole.Err) // the whole address may have a key in it
		}
		return nil, fault.Wrap(fault.Unavailable, "not_sent", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode/100 == 2 {
		return body, nil
	}
	text := "answered " + answer.Status
	if said := strings.TrimSpace(string(body)); said != "" {
		text += ": " + cut(strings.ToValidUTF8(said, "\uFFFD"))
	}
	return body, &fault.Error{Kind: kindOf(answer.StatusCode), Message: text, RetryAfter: retryAfter(answer.Header.Get("Retry-After"))}
}

func kindOf(status int) fault.Kind {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fault.Invalid
	case http.StatusRequestEntityTooLarge:
		return fault.TooLarge
	}
	return fault.Unavailable
}

// retryAfter reads seconds or a date; 0 is neither.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(min(seconds, int(longestWait.Seconds()))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
