# Mirrorcam: every command that a newcomer needs. `make help` lists them.

PYTHON ?= python3
PYTEST_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
CONFORMANCE := tests/conformance
DEBIAN_PACKAGES := age chromium ffmpeg nodejs npm openssl postgresql xdotool xvfb

.DEFAULT_GOAL := help
.PHONY: help test test-deps check lock

help: ## Say what each command does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One stamp per content of the lock file: a changed lock installs again, an unchanged one starts at once.
INSTALLED := $(VENV)/installed-$(shell sha256sum requirements.lock pyproject.toml | sha256sum | cut -c1-16)

$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit("Mirrorcam needs Python 3.11 or newer, this is %d.%d: call make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

test: $(INSTALLED) ## Run the whole test suite (PYTEST_ARGS= narrows it)
	$(BIN)/pytest $(PYTEST_ARGS)

test-deps: ## Install what the tests need beyond PyPI, by apt (as root) and npm
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(DEBIAN_PACKAGES)
	cd $(CONFORMANCE) && npm ci

check: $(INSTALLED) ## Format, lint, types and imports, all silent
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo > .lint-imports.log || { cat .lint-imports.log; rm .lint-imports.log; exit 1; }
	@rm -f .lint-imports.log

lock: ## Resolve the dependencies anew, with hashes, for Python 3.11 to 3.13
	$(PYTHON) -m venv --clear .lock-venv
	.lock-venv/bin/pip install --quiet uv
	.lock-venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-annotate \
		--extra dev --python-version 3.11 --no-config pyproject.toml -o requirements.lock
	rm -r .lock-venv
