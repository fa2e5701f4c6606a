# `make demo` and `make test` do all their own set-up: see `make help`.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: setup data demo test lint clean help

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.setup-done
# Passed on to the demo: make demo ARGS="--seed 1"
ARGS ?=

# -qq hides pip's own warnings, not its errors; --no-compile leaves byte code to the first import,
# which saves a good part of the time.
PIP := $(PYTHON) -m pip install -qq --no-input --no-compile --disable-pip-version-check

setup: $(STAMP) data ## Create .venv, install exact versions, fetch the public data

# The newest thing in a working environment: done again when what it depends on changes.
$(STAMP): pyproject.toml constraints.txt
	@set -eu; \
	if ! $(PYTHON) -c 'import pip' >/dev/null 2>&1; then \
		found=; \
		for candidate in python3.11 python3.12 python3.13 python3; do \
			if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
			then found=$$candidate; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "error: Python 3.11 or newer is needed, and none was found as python3.11," \
				"python3.12, python3.13 or python3." >&2; \
			echo "Found: $$(python3 --version 2>&1 || true)." \
				"On Debian 12: apt-get install python3 python3-venv." >&2; \
			exit 1; \
		fi; \
		echo "[1/4] Creating $(VENV) with $$($$found --version)"; \
		$$found -m venv --clear $(VENV) || { \
			echo "error: $$found could not create $(VENV)." \
				"On Debian and Ubuntu: apt-get install python3-venv." >&2; exit 1; }; \
	else \
		echo "[1/4] Using $(VENV)"; \
	fi
	@# First and by its exact version: an open range finds a build of several GB.
	@echo "[2/4] Installing torch (200 MB, about a minute)"
	@$(PIP) -c constraints.txt torch==2.13.0
	@echo "[3/4] Installing everything else (about a minute)"
	@$(PIP) -c constraints.txt -e '.[benchmarks,dev]'
	@touch $(STAMP)

# Not fatal: `demo --data DIR` needs no public data, and whoever does need it says so.
data: $(STAMP)
	@echo "[4/4] Public data"
	@$(PYTHON) -m secure_fedsa.cli.datasets prefetch || echo "Going on without it." >&2

demo: setup ## Run the demo; ARGS="--seed 1" passes options on
	@$(VENV)/bin/secure-fedsa demo $(ARGS)

test: lint ## Check style, types and floors, then run all tests
	@echo "== pytest"
	@# A file's tests stay together: they share what is slow to make. One thread a process: two
	@# processes of two threads each wait for each other on two cores.
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: setup ## Check style, types and floors
	@echo "== ruff"
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@echo "== mypy"
	@$(PYTHON) -m mypy --strict
	@echo "== import-linter"
	@$(VENV)/bin/lint-imports --no-logo

clean: ## Remove .venv, caches and builds; keep runs and downloaded data
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
	find secure_fedsa tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Show this
	@echo "Targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r target what; do printf '%-14s %s\n' "$$target" "$$what"; done
