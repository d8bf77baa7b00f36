module github.com/maidian/maidian/services/allinone

go 1.26.0

require github.com/maidian/maidian/pkg v0.0.0

replace github.com/maidian/maidian/pkg => ../../pkg

require github.com/google/uuid v1.6.0

replace (
	github.com/maidian/maidian/services/collector => ../collector
	github.com/maidian/maidian/services/consumer => ../consumer
	github.com/maidian/maidian/services/query => ../query
)
