# Parlour. `make` alone lists the targets; each one installs what it needs into .venv first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed
LOCKS := locks/bootstrap.txt locks/dev.txt

# Where the system keeps certificates, uv trusts them like pip does: a network may add its own.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),true,false)

# The packages whose branches the tests must all take.
PROTOCOLS := codec primitives double_ratchet login mls identity roster transparency wire conversation
empty :=
comma := ,
space := $(empty) $(empty)

section = @printf '\n== %s ==\n' '$(1)'

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- The environment -----------------------------------------------------------------------

$(STAMP): pyproject.toml Makefile $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Parlour needs Python 3.11 or newer: make PYTHON=python3.11 …'; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo 'Python cannot make environments (no ensurepip): installing python3-venv.'; \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; \
	  else \
	    echo 'Python cannot make environments (no ensurepip).'; \
	    echo 'On Debian and Ubuntu: sudo apt install python3-venv; then run make again.'; \
	    exit 1; \
	  fi; \
	fi
	@if ! [ -x $(BIN)/uv ]; then \
	  $(PYTHON) -m venv --clear .venv; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    -r locks/bootstrap.txt; \
	fi
	@export VIRTUAL_ENV="$(CURDIR)/.venv"; \
	$(BIN)/uv pip sync --quiet --require-hashes locks/dev.txt; \
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-header --no-annotate

.PHONY: lock
lock: $(STAMP) ## Renew locks/ (ARGS=--upgrade for newer versions)
	@$(COMPILE) $(ARGS) --extra keychain --group dev pyproject.toml -o locks/dev.txt
	@$(COMPILE) $(ARGS) --constraint locks/dev.txt pyproject.toml -o locks/run.txt
	@$(COMPILE) $(ARGS) --constraint locks/dev.txt --group bootstrap -o locks/bootstrap.txt

# --- Tests and checks ----------------------------------------------------------------------

.PHONY: lint
lint: $(STAMP) ## Format, lint, types, import directions, generated docs
	$(call section,ruff format)
	@$(BIN)/ruff format --check .
	$(call section,ruff check)
	@$(BIN)/ruff check .
	$(call section,mypy)
	@$(BIN)/mypy
	$(call section,import directions)
	@$(BIN)/lint-imports --no-logo
ifneq ($(wildcard src/parlour/wire/document*),)
	$(call section,generated docs)
	@$(BIN)/python -m parlour.wire.document --check
	@$(BIN)/python -m tools.doors --check
endif
	$(call section,evidence (told and no more))
	@$(BIN)/python -m tools.evidence

.PHONY: test
test: lint ## Everything a change must pass
	$(call section,pytest)
	@$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

.PHONY: coverage
coverage: $(STAMP) ## Branch coverage; the protocol packages must have all of it
	@rm -f .coverage .coverage.*
	$(call section,pytest)
	@$(BIN)/pytest -n 2 --dist worksteal --cov --cov-report= $(ARGS)
	$(call section,coverage of everything)
	@$(BIN)/coverage report
	$(call section,coverage of the protocol packages)
	@$(if $(COVERED),$(BIN)/coverage report --fail-under=100 \
	  --include='$(subst $(space),$(comma),$(COVERED:%=%/*))',echo 'None of them exists yet.')

COVERED = $(wildcard $(PROTOCOLS:%=src/parlour/%))

.PHONY: interop
interop: $(STAMP) ## Tests against foreign implementations
	@benchmarks/peers/install.sh
	@$(BIN)/pytest tests/interop $(ARGS)

.PHONY: fuzz
fuzz: $(STAMP) ## Fuzz the parsers (ARGS: see python -m fuzz --help)
	@$(BIN)/python -m fuzz $(ARGS)

.PHONY: simulate
simulate: $(STAMP) ## Simulate devices and a faulty server (long; ARGS="--seeds 0-9 --steps 200")
	@$(BIN)/python -m parlour.testing.simulation $(ARGS)

.PHONY: audit
audit: $(STAMP) ## Hashes and addresses of the locks, known advisories
	@$(BIN)/python -m tools.audit

# --- Programs ------------------------------------------------------------------------------

.PHONY: demo
demo: $(STAMP) ## A server and two people who talk
	@$(BIN)/parlour demo $(ARGS)

.PHONY: demo-groups
demo-groups: $(STAMP) ## A group of five people with seven devices
	@$(BIN)/parlour demo groups $(ARGS)

.PHONY: peers
peers: ## Install what benchmarks and interop compare with
	@benchmarks/peers/install.sh

# As root, what a benchmark compares with is installed first; else what is absent is named.
bench-%: $(STAMP) ## Run a benchmark: make bench-NAME ARGS="--json FILE"
	@if [ "$$(id -u)" = 0 ]; then benchmarks/peers/install.sh; fi
	@$(BIN)/python -m benchmarks.$(subst -,_,$*) $(ARGS)

.PHONY: vectors
vectors: $(STAMP) ## Make our own test vectors again
	@$(BIN)/python -m tools.make_vectors $(ARGS)

.PHONY: docs
docs: $(STAMP) ## Write the generated pages of docs/ again
	@$(BIN)/python -m parlour.wire.document
	@$(BIN)/python -m tools.doors

.PHONY: clean
clean: ## Remove what make made, except .venv
	@rm -rf build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
	  .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
