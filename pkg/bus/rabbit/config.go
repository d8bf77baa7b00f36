// Package rabbit runs the pipeline's queue on RabbitMQ, 3.10 and later.
//
// Publishers and receivers keep sessions: a connection, its channel, and the
// goroutine that owns both. A session is never repaired; on any error it is
// thrown away and the next one is opened on the next node.
package rabbit

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Config says where RabbitMQ is and how the queue is made. Collector and
// consumer both declare the queue, so its fields must be the same in both.
type Config struct {
	URL      string `envconfig:"RABBITMQ_URL" desc:"amqp:// or amqps:// address of RabbitMQ; several nodes of a cluster separated by commas are tried in turn; replaces the five variables below"`
	Host     string `envconfig:"RABBITMQ_HOST" default:"127.0.0.1" desc:"host, when RABBITMQ_URL is not set"`
	Port     string `envconfig:"RABBITMQ_PORT" default:"5672" desc:"port, when RABBITMQ_URL is not set"`
	Username string `envconfig:"RABBITMQ_USERNAME" default:"guest" desc:"user, when RABBITMQ_URL is not set"`
	Password string `envconfig:"RABBITMQ_PASSWORD" default:"guest" desc:"password, when RABBITMQ_URL is not set"`
	VHost    string `envconfig:"RABBITMQ_VHOST" default:"/" desc:"virtual host, when RABBITMQ_URL is not set"`

	Queue         string `envconfig:"ANALYTICS_QUEUE_NAME" default:"analytics_events" desc:"name of the queue, and the beginning of the names of what belongs to it"`
	MaxMessages   int64  `envconfig:"ANALYTICS_QUEUE_MAX_MESSAGES" default:"1000000" desc:"the queue refuses above this; must be the same everywhere"`
	MaxBytes      int64  `envconfig:"ANALYTICS_QUEUE_MAX_BYTES" default:"17179869184" desc:"the queue refuses above this; must be the same everywhere"`
	DeliveryLimit int64  `envconfig:"ANALYTICS_QUEUE_DELIVERY_LIMIT" default:"1000" desc:"a message delivered again this often goes to the dead-letter queue, 1073741824 for never; must be the same everywhere"`

	Sessions int `envconfig:"RABBITMQ_PUBLISH_SESSIONS" default:"2" desc:"connections to publish on"`
	Window   int `envconfig:"RABBITMQ_CONFIRM_WINDOW" default:"256" desc:"most unconfirmed messages on each of them"`

	ManagementURL string `envconfig:"RABBITMQ_MANAGEMENT_URL" desc:"address of the management plugin, such as http://user:password@host:15672; with it the depth of the queue includes what other processes hold"`
}

// Validate says everything that is wrong with the configuration, never
// showing a password.
func (c *Config) Validate() error {
	_, err := c.urls()
	if c.Queue == "" || len(c.Queue) > 200 || strings.HasPrefix(c.Queue, "amq.") {
		err = errors.Join(err, fmt.Errorf("ANALYTICS_QUEUE_NAME must have 1 to 200 characters and not begin with amq., got %q", c.Queue))
	}
	between := func(name string, n, low, high int64) {
		if n < low || n > high {
			err = errors.Join(err, fmt.Errorf("%s must be %d to %d, got %d", name, low, high, n))
		}
	}
	between("ANALYTICS_QUEUE_MAX_MESSAGES", c.MaxMessages, 1, 1<<40)
	between("ANALYTICS_QUEUE_MAX_BYTES", c.MaxBytes, 1<<20, 1<<50)
	between("ANALYTICS_QUEUE_DELIVERY_LIMIT", c.DeliveryLimit, 1, 1<<30)
	between("RABBITMQ_PUBLISH_SESSIONS", int64(c.Sessions), 1, 64)
	between("RABBITMQ_CONFIRM_WINDOW", int64(c.Window), 1, 65535)
	if u, parseErr := url.Parse(c.ManagementURL); c.ManagementURL != "" && (parseErr != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		err = errors.Join(err, errors.New("RABBITMQ_MANAGEMENT_URL must look like http://user:password@host:15672"))
	}
	return err
}

// WithDefaults is the configuration with the fields left at zero filled in,
// for callers that do not read it from the environment.
func (c Config) WithDefaults() Config {
	text := func(s *string, or string) {
		if *s == "" {
			*s = or
		}
	}
	text(&c.Host, "127.0.0.1")
	text(&c.Port, "5672")
	text(&c.Username, "guest")
	text(&c.Password, "guest")
	text(&c.VHost, "/")
	text(&c.Queue, "analytics_events")
	number := func(n *int64, or int64) {
		if *n == 0 {
			*n = or
		}
	}
	number(&c.MaxMessages, 1_000_000)
	number(&c.MaxBytes, 16<<30)
	number(&c.DeliveryLimit, 1000)
	if c.Sessions == 0 {
		c.Sessions = 2
	}
	if c.Window == 0 {
		c.Window = 256
	}
	return c
}

// urls are the nodes to try, in order.
func (c *Config) urls() ([]string, error) {
	if c.URL == "" {
		return c.urlFromParts()
	}
	var urls []string
	var errs error
	for i, u := range strings.Split(c.URL, ",") {
		u = strings.TrimSpace(u)
		if _, err := amqp.ParseURI(u); err != nil {
			// The library's words may repeat the whole address, password and all.
			errs = errors.Join(errs, fmt.Errorf("RABBITMQ_URL: address %d must look like amqp://user:password@host:5672/vhost (special characters percent-encoded)", i+1))
			continue
		}
		urls = append(urls, u)
	}
	return urls, errs
}

func (c *Config) urlFromParts() ([]string, error) {
	if strings.Contains(c.Port, "://") {
		return nil, fmt.Errorf("RABBITMQ_PORT must be a port number, got %q: Kubernetes sets this variable for a service named rabbitmq; set RABBITMQ_URL, or RABBITMQ_PORT yourself, or enableServiceLinks: false in the pod", c.Port)
	}
	if n, err := strconv.Atoi(c.Port); err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("RABBITMQ_PORT must be 1 to 65535, got %q", c.Port)
	}
	if c.Host == "" || strings.ContainsAny(c.Host, "/@ ") {
		return nil, fmt.Errorf("RABBITMQ_HOST must be a host name or address, got %q", c.Host)
	}
	u := url.URL{
		Scheme: "amqp", User: url.UserPassword(c.Username, c.Password),
		Host: net.JoinHostPort(c.Host, c.Port), Path: "/" + c.VHost, RawPath: "/" + url.PathEscape(c.VHost),
	}
	return []string{u.String()}, nil
}
