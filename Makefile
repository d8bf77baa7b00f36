# make run     starts everything on this machine     make test   runs every test
# make help    lists the rest
.DEFAULT_GOAL := help
.PHONY: help run run-rabbit demo simulate build images test-images compose sbom sdk test test-go test-sdk test-browser check lint tidy controls faults nemesis overload slow-clients soak oracle fuzz bench bench-alerts bench-drain bench-query bench-sdk bench-growth bench-scale bench-capacity walks metrics dashboards clean

GO       ?= go
GOTOOLS  := $(CURDIR)/bin/tools
GOLANGCI := v2.15.0
GOFUMPT  := v0.12.0
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -X github.com/maidian/maidian/pkg/proc.version=$(VERSION)
MODULES  := pkg services/collector services/consumer services/query services/allinone scripts/ferretdb scripts/check scripts/faults scripts/deploy scripts/monitoring
# Not in the workspace: Kubernetes' own modules must move no version that a service is built with.
BESIDE   := scripts/kubernetes
ARGS     ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: bin/maidian ## start the all-in-one: collector on 8080, query on 8081, data in ./data
	@exec bin/maidian serve $(ARGS)

run-rabbit: bin/maidian ## the same on a private RabbitMQ node, its data in ./data/rabbitmq
	@scripts/need rabbitmq
	@exec bin/maidian serve -rabbit $(ARGS)

demo: bin/maidian ## start it, import a shop's events, print funnel, retention and top pages
	@exec bin/maidian demo $(ARGS)

simulate: bin/maidian ## send made-up visitors to a running system (ARGS="-rate 50")
	@exec bin/maidian simulate $(ARGS)

build: bin/maidian bin/collector bin/consumer bin/query ## build all binaries into ./bin

bin/maidian: FORCE
	@$(GO) build -ldflags "$(LDFLAGS)" -o $@ ./services/allinone/cmd/maidian

# The services that production runs are static and hold no embedded server.
bin/collector bin/consumer bin/query: bin/%: FORCE
	@GO="$(GO)" VERSION="$(VERSION)" scripts/static $* $@

FORCE:

images: ## the services' images, by docker, podman or buildah (PREBUILT=1: compiled by this machine's Go)
	@GO="$(GO)" VERSION="$(VERSION)" scripts/images

test-images: ## build the images with podman and run them as compose.yaml says: confined, ready, answering, stopping in order
	@scripts/need rabbitmq podman
	@GO="$(GO)" scripts/test-images

compose: ## everything in containers by docker compose: secrets, images, servers, dashboards
	@scripts/secrets deploy/secrets && mkdir -p deploy/credentials
	@grep -qs ^MAIDIAN_VERSION= deploy/.env || export MAIDIAN_VERSION=$(VERSION); \
		docker compose -f deploy/compose.yaml up --detach --build --wait

SERVICES := collector consumer query maidian
sbom: $(GOTOOLS)/cyclonedx-gomod ## what each image's program is made of, as CycloneDX, into dist/sbom
	@for s in $(SERVICES); do \
		GO="$(GO)" VERSION="$(VERSION)" scripts/static $$s dist/sbom/$$s && \
		$< bin -json -std -noserial -notimestamp -version $(VERSION) -output dist/sbom/$$s.cdx.json dist/sbom/$$s && \
		rm dist/sbom/$$s && echo dist/sbom/$$s.cdx.json || exit 1; done

sdk: sdk/node_modules ## build the browser SDK and the script that the collector serves
	@cd sdk && npm run --silent build

sdk/node_modules: sdk/package.json sdk/package-lock.json
	@scripts/need node
	@cd sdk && npm ci --no-fund --no-audit --loglevel=error && touch node_modules

test: test-go test-sdk test-browser check-deploy ## run every test

test-go: ## Go tests with the race detector, on private servers
	@scripts/need gcc rabbitmq postgres clickhouse prometheus
	$(GO) test -race -timeout 25m work

test-sdk: sdk/node_modules ## the SDK's unit tests
	@cd sdk && npm run --silent test

check-deploy: ## the Kubernetes manifests, the Helm chart and the alert rules: fields, kube-score, Pod Security, helm, variables, promtool
	@scripts/need prometheus
	@cd $(BESIDE) && GOWORK=off $(GO) test -timeout 25m ./...

kubernetes: ## make the Helm chart, and the operator's alert rules, of deploy/kubernetes and deploy/prometheus
	@cd $(BESIDE) && GOWORK=off $(GO) build -o $(GOTOOLS)/kubernetes .
	@$(GOTOOLS)/kubernetes

WALKS ?= 1000
SEED  ?= 1
walks: sdk/node_modules bin/maidian ## random visits over a network that fails, every event accounted for (WALKS=1000 SEED=1)
	@scripts/need chromium
	@cd sdk && MAIDIAN_BIN=$(CURDIR)/bin/maidian WALKS=$(WALKS) SEED=$(SEED) npm run --silent test:browser -- test/browser/walks.test.ts

test-browser: sdk/node_modules bin/maidian ## the SDK in a real browser against the real system
	@scripts/need chromium
	@cd sdk && MAIDIAN_BIN=$(CURDIR)/bin/maidian npm run --silent test:browser

check: lint test ## what must pass before a commit

lint: $(GOTOOLS)/golangci-lint $(GOTOOLS)/gofumpt sdk/node_modules ## linters, formats, and modules that build alone
	@unformatted=$$($(GOTOOLS)/gofumpt -l pkg services scripts); [ -z "$$unformatted" ] || { echo "gofumpt -w $$unformatted"; exit 1; }
	@for m in $(MODULES); do (cd $$m && $(GOTOOLS)/golangci-lint run --allow-parallel-runners --config $(CURDIR)/.golangci.yaml ./...) || exit 1; done
	@cd $(BESIDE) && GOWORK=off $(GOTOOLS)/golangci-lint run --allow-parallel-runners --config $(CURDIR)/.golangci.yaml ./...
	@for m in $(MODULES) $(BESIDE); do (cd $$m && GOWORK=off $(GO) build -o /dev/null ./... && GOWORK=off $(GO) mod tidy -diff) || exit 1; done
	@cd sdk && npm run --silent lint

tidy: $(GOTOOLS)/gofumpt ## format and tidy everything
	@$(GOTOOLS)/gofumpt -w pkg services scripts
	@for m in $(MODULES) $(BESIDE); do (cd $$m && GOWORK=off $(GO) mod tidy); done

$(GOTOOLS)/golangci-lint:
	@GOBIN=$(GOTOOLS) GOWORK=off $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)

$(GOTOOLS)/gofumpt:
	@GOBIN=$(GOTOOLS) GOWORK=off $(GO) install mvdan.cc/gofumpt@$(GOFUMPT)

$(GOTOOLS)/cyclonedx-gomod: scripts/sbom/go.mod
	@cd scripts/sbom && GOWORK=off $(GO) build -o $@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

controls: PARALLEL ?= 3
controls: ## builds that break the promise on purpose: the checker must find each (PARALLEL=3 side by side; about 25 minutes)
	@scripts/need rabbitmq
	CONTROLS=all FAULT_PARALLEL=$(PARALLEL) $(GO) test -count 1 -timeout 60m -v -run 'TestTheChecker|TestPatches' ./scripts/faults

faults: SEEDS ?= 3
faults: PARALLEL ?= 3
faults: ## every fault under load, several times, into deploy/RELIABILITY.md (SEEDS=3 times each, PARALLEL=3 side by side; about an hour)
	@scripts/need rabbitmq
	FAULTS=all FAULT_SEEDS=$(SEEDS) FAULT_PARALLEL=$(PARALLEL) FAULT_RATE=3000 FAULT_REQUESTS=100 FAULT_QUIET=5s \
		FAULT_FREEZE=60s FAULT_DOWN=2m FAULT_MIX=2m FAULT_BACKLOG=1000000 RELIABILITY=deploy/RELIABILITY.md \
		$(GO) test -count 1 -timeout 4h -v -run TestFaults ./scripts/faults

FAULT_MIX ?= 30m
nemesis: ## faults drawn by chance for half an hour, one every 20 to 30 s (FAULT_MIX=30m)
	@scripts/need rabbitmq
	FAULTS=all FAULT_MIX=$(FAULT_MIX) FAULT_QUIET=10s RELIABILITY=deploy/RELIABILITY.md \
		$(GO) test -count 1 -timeout 14h -v -run 'TestFaults/random_mix' ./scripts/faults

OVERLOAD ?= 20s
overload: ## offer three times what the system takes, into deploy/LOAD.md (about ten minutes, OVERLOAD=20s each)
	@scripts/need rabbitmq
	OVERLOAD=$(OVERLOAD) LOAD_PAGE=deploy/LOAD.md $(GO) test -count 1 -timeout 1h -v -run 'TestOverload$$' ./scripts/faults

SLOW ?= 2000
slow-clients: ## what others lose beside slow connections, into deploy/LOAD.md (SLOW=2000)
	@scripts/need rabbitmq
	SLOW=$(SLOW) LOAD_PAGE=deploy/LOAD.md $(GO) test -count 1 -timeout 1h -v -run 'TestSlowClients$$' ./scripts/faults

SOAK ?= 60m
soak: ## a steady load for an hour: memory, goroutines and files must be flat, into deploy/LOAD.md (SOAK=60m)
	@scripts/need rabbitmq
	SOAK=$(SOAK) FAULT_QUIET=10s LOAD_PAGE=deploy/LOAD.md $(GO) test -count 1 -timeout 14h -v -run 'TestSoak$$' ./scripts/faults

oracle: SEEDS ?= 5000
oracle: ## hold every report to plain loops over events, on SEEDS random histories (SEEDS=5000)
	ORACLE_SEEDS=$(SEEDS) $(GO) test -timeout 60m ./services/query/internal/oracle

FUZZTIME ?= 30s
fuzz: ## fuzz everything that reads strangers' bytes (FUZZTIME=30s each)
	@scripts/fuzz $(FUZZTIME)

bench: ## print the benchmarks side by side (about ten minutes)
	@scripts/need rabbitmq
	@scripts/bench

bench-alerts: ## what a thousand rules cost beside none, and how soon people are told (about three minutes)
	@$(GO) test -run '^$$' -bench '^BenchmarkAlerts$$' -benchtime 1x -timeout 30m ./services/allinone

bench-drain: ## a backlog of 100,000 events on RabbitMQ, drained beside bare inserts of the same events
	@scripts/need rabbitmq
	@$(GO) test -run '^$$' -bench '^BenchmarkDrain$$' -benchtime 5x -timeout 30m ./services/consumer

bench-query: ## the query service beside ClickHouse on 10 million events, same answers (ARGS="-only questions")
	@scripts/need node
	@scripts/bench-query $(ARGS)

bench-scale: ## a backlog on RabbitMQ drained by one consumer and by two; twenty that come and go
	@scripts/need rabbitmq
	@$(GO) test -run 'TestTwenty' -bench '^BenchmarkScale$$' -benchtime 2x -count 1 -timeout 30m -v ./services/consumer

CAPACITY ?= 10s
bench-capacity: ## what an event costs each part, and ingestion beside a prune (about five minutes, CAPACITY=10s a load)
	@scripts/need rabbitmq
	@CAPACITY=$(CAPACITY) $(GO) test -run '^TestCapacity$$' -count 1 -timeout 30m -v ./scripts/faults
	@$(GO) test -run '^$$' -bench Ingestion -benchtime 3x -timeout 30m ./services/query/internal/prune

bench-sdk: sdk/node_modules ## what the SDK costs a page's main thread, beside the same page without it (LOADS=30)
	@scripts/need chromium
	@cd sdk && npm run --silent bench

bench-growth: ## fill one SQLite store with 5 million events and print how its speed changes
	@STORE_GROWTH=5000000 $(GO) test -run '^$$' -bench '^BenchmarkGrowth$$' -benchtime 1x -timeout 30m ./pkg/store/sqlite

metrics: ## write down what a running system shows at /metrics, into deploy/METRICS.md
	@scripts/need rabbitmq
	METRICS=write $(GO) test -count 1 -run 'TestMetrics$$' ./services/allinone

dashboards: ## write the Grafana dashboards into deploy/grafana/dashboards
	@$(GO) run ./scripts/monitoring deploy/grafana/dashboards

clean: ## remove what was built, keep ./data
	@rm -rf bin sdk/dist sdk/node_modules
