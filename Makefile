# Needs make (GNU make 3.81 will do) and Python 3.11 or later. Everything else goes into .venv.

PY := .venv/bin/python
RUN := .venv/.ready-to-run
DEV := .venv/.ready-to-dev
ARGS ?=
CORES := $(shell getconf _NPROCESSORS_ONLN)
# One more than there are cores, as many tests wait for something that they started, or for a deadline.
PROCESSES ?= $(shell expr $(CORES) + 1)
STARTS_NOTHING := not process and not browser and not postgres and not nightly

.DEFAULT_GOAL := help
.PHONY: help setup dev demo run check test lint audit format lock clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  ARGS="..." adds options: make demo ARGS=--no-open'

demo: $(RUN) ## Play a runner's season through, from FIT file to mail
	@.venv/bin/easeback demo $(ARGS)

run: $(RUN) ## Start the worker
	@.venv/bin/easeback run $(ARGS)

check: lint ## Check the fast part: lint, and every test that starts nothing beside itself
	@$(PY) -m pytest --numprocesses $(PROCESSES) --dist worksteal -m '$(STARTS_NOTHING)' $(ARGS)

test: $(DEV) ## Run every test but the nightly ones
	@$(PY) -m pytest --numprocesses $(PROCESSES) --dist worksteal $(ARGS)

lint: $(DEV) ## Check style, types and the rules of the rooms
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/mypy
	@.venv/bin/lint-imports

audit: $(DEV) ## Ask whether a locked dependency is known to be vulnerable
	@$(PY) scripts/audit.py requirements.lock

format: $(DEV) ## Mend what ruff can mend
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

setup: $(RUN) ## Install what running it needs into .venv

dev: $(DEV) ## Install the tools for tests and lint too

# uv resolves for every platform and Python at once. The index's name stays out of the files.
UV_COMPILE := .venv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command 'make lock' --upgrade
UV_RUN := --extra postgres pyproject.toml
lock: $(DEV) ## Write the lock files anew, with the newest versions
	@$(PY) -m pip install -qq --disable-pip-version-check uv
	@$(UV_COMPILE) --output-file requirements.lock $(UV_RUN)
	@$(UV_COMPILE) --output-file requirements-dev.lock --constraint requirements.lock --group dev $(UV_RUN)
	@$(UV_COMPILE) --output-file requirements-build.lock --constraint requirements-dev.lock --group build

clean: ## Remove what was installed and cached; data and demo folders stay
	@rm -rf .venv .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
	@find worker tests bench simulators scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): requirements.lock requirements-build.lock pyproject.toml scripts/setup
	@scripts/setup run

$(DEV): $(RUN) requirements-dev.lock
	@scripts/setup dev
