# Everything starts here. Works on a bare Debian with Python 3.11, as root or with sudo.

PYTHON ?= python3
BIN := .venv/bin
# the servers, the browser (libatomic1 is for what drives it), the programs that the documents' own commands use, and
# the languages of the snippets that verify signatures
PACKAGES := rabbitmq-server postgresql chromium fonts-dejavu-core libatomic1 curl openssl libfaketime \
  nodejs golang-go default-jdk-headless php-cli ruby mono-mcs
WORKERS ?= 4
SOURCES := delivery consumers service migrations tests
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.DEFAULT_GOAL := help
.PHONY: help demo run test faults hostile fuzz simulate check audit format screenshots bench bench-pages bench-replay lock clean packages

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: .venv/run ## see it work: no server needed (ONCE=1: end by itself)
	$(BIN)/hookline demo $(if $(ONCE),--once)

run: .venv/run ## serve on the embedded database and bus, http://127.0.0.1:8080
	$(BIN)/hookline serve

test: packages .venv/dev ## everything: checks, and all tests on real servers
	$(MAKE) --no-print-directory lint
	$(BIN)/pytest -q -n $(WORKERS) --dist worksteal

check: .venv/dev lint ## for every save: lint, types, import contracts, quick tests
	$(BIN)/pytest -q -m "not slow and not servers"

.PHONY: lint
lint: .venv/dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: .venv/dev ## known vulnerabilities of what is locked; says so where the list cannot be reached
	@$(BIN)/python -m tests.security.audit

format: .venv/dev ## put the code into its form
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

faults: packages .venv/dev ## real faults under load, and the table of what was published, received, repeated, lost
	$(BIN)/pytest -q -n $(WORKERS) --dist worksteal tests/faults

hostile: packages .venv/dev ## hostile URLs, addresses, names, headers and receivers, with a table of what held
	$(BIN)/pytest -q -n $(WORKERS) --dist worksteal tests/hostile

fuzz: packages .venv/dev ## ask the API whatever its description allows, for longer, by chance (EXAMPLES=200 SEED=...)
	@seed=$${SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; echo "SEED=$$seed"; \
	FUZZ_SEED=$$seed FUZZ_EXAMPLES=$${EXAMPLES:-200} $(BIN)/pytest -q -n 2 tests/fuzz

simulate: .venv/dev ## the whole trade in virtual time, with faults (SEEDS=10000)
	$(BIN)/python -m tests.simulation --seeds $${SEEDS:-10000} --jobs 2

screenshots: packages .venv/dev ## pictures of every page, at a desk and on a phone, by day and by night (FOLDER=screenshots)
	$(BIN)/python -m tests.browser.screenshots $${FOLDER:-screenshots}

bench: packages .venv/dev ## deliveries per second, beside the bare HTTP client of the same run
	$(BIN)/python -m tests.benchmarks.throughput

bench-pages: packages .venv/dev ## how long pages take with a million deliveries in PostgreSQL (DELIVERIES=1000000)
	$(BIN)/python -m tests.benchmarks.pages --deliveries $${DELIVERIES:-1000000}

bench-replay: packages .venv/dev ## memory and pace of a replay (DELIVERIES=100000)
	$(BIN)/python -m tests.benchmarks.replay --deliveries $${DELIVERIES:-100000}

lock: ## write the lock files anew from pyproject.toml
	@tool=$$(mktemp -d) && $(PYTHON) -m venv $$tool && $$tool/bin/pip install -q uv && \
	for extra in "" "--extra dev"; do \
	  file=requirements$${extra:+-dev}.lock; \
	  $$tool/bin/uv pip compile pyproject.toml --extra build $$extra --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --quiet --output-file $$file || exit 1; \
	done; rm -rf $$tool

clean: ## forget what was made here
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# One environment; the file .venv/run says that it can run the service, .venv/dev that it can test it, too.
.venv/run: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.venv/dev: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@ .venv/run

packages:
	@missing=""; for name in $(PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$name"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get update -qq && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
