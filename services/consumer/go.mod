module github.com/maidian/maidian/services/consumer

go 1.26.0

require github.com/maidian/maidian/pkg v0.0.0

require (
	github.com/prometheus/client_golang v1.25.0 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	go.uber.org/zap v1.28.0 // indirect
)

replace github.com/maidian/maidian/pkg => ../../pkg
