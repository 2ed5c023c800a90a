# One line each; `make check` and `make test` are what CI runs.
HOST ?= sim
SECONDS ?= 60
BIN := target/release
MODULE := $(BIN)/turnpike.wasm
NODE := $(CURDIR)/.cache/node/bin
# Everything but what only runs as WebAssembly. The same choice everywhere: cargo builds a dependency again where another
# choice of packages asks other features of it.
NATIVE := --release --workspace --exclude filter --exclude guests --exclude host-calls

.DEFAULT_GOAL := help
.PHONY: help run build test check bench fuzz fmt dashboard envoy clean module programs unit labs wasm-tests

help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

run: module programs ## The gateway on http://127.0.0.1:8080; HOST=envoy runs it in the real Envoy
	@if [ "$(HOST)" = envoy ]; then tests/setup envoy; fi
	@$(BIN)/turnpike up --mock -f policies/base --host $(HOST)

build: module programs ## Everything in release: target/release/turnpike, its module, and the sidecar
	@ls -l $(BIN)/turnpike $(MODULE) $(BIN)/turnpike-sidecar

test: export PATH := $(NODE):$(PATH)
test: module programs ## Everything: unit tests, the same as WebAssembly, and the labs on both hosts
	tests/setup targets envoy clients bindgen prometheus redis
	$(MAKE) unit wasm-tests labs

check: ## Format, lints, unit tests, the module, documentation
	tests/setup targets
	cargo fmt --all --check
	tests/lines
	cargo clippy $(NATIVE) --all-targets -- -D warnings
	cargo clippy -p filter -p guests --target wasm32-wasip1 --profile wasm -- -D warnings
	$(MAKE) module unit
	RUSTDOCFLAGS='-D warnings' cargo doc $(NATIVE) --no-deps --document-private-items

bench: module programs ## What things cost, against a baseline in the same run; takes minutes, ONLY=access or another fewer
	@tests/setup targets envoy valgrind redis
	@cargo test $(NATIVE) --test bench -- $(ONLY)

fuzz: ## Whatever bytes come as tokens, keys, texts and streams; SECONDS=600 for each target
	@tests/setup targets fuzz
	tests/fuzz/run $(SECONDS)

fmt: ## Format everything
	cargo fmt --all

dashboard: ## Prometheus over the running gateway, and Grafana with the dashboard where it is installed
	@tests/setup prometheus
	@envoy/grafana/dashboard

envoy: ## Fetch the real Envoy into .cache
	tests/setup envoy

clean: ## Remove everything that was built or fetched
	rm -rf target .cache

module:
	@tests/setup targets
	cargo build -p filter -p guests --target wasm32-wasip1 --profile wasm
	@mkdir -p $(BIN)
	@cp target/wasm32-wasip1/wasm/filter.wasm $(MODULE)
	@cp target/wasm32-wasip1/wasm/guests.wasm $(BIN)/guests.wasm

programs:
	cargo build --release -p turnpike -p sidecar

# CI has every server that tests want; elsewhere tests without theirs say that they were skipped.
unit: module
	@[ -z "$$CI" ] || tests/setup redis
	cargo test $(NATIVE) --exclude labs

wasm-tests:
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$(CURDIR)/.cache/tools/bin/wasm-bindgen-test-runner \
		cargo test --release -p gateway -p guard -p jwt --target wasm32-unknown-unknown

labs: module programs
	cargo test $(NATIVE) --test labs
