module github.com/maidian/maidian/services/collector

go 1.26

require github.com/maidian/maidian/pkg v0.0.0

replace github.com/maidian/maidian/pkg => ../../pkg
