# Mirrorcam: every command that a newcomer needs. `make help` lists them.

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH ?=
CAMERA ?=
ONCE ?=
ARCH ?= amd64
VENV := .venv
BIN := $(VENV)/bin
CONFORMANCE := tests/conformance
# Since trixie it is a package of its own; before, it is in systemd's.
SYSTEMD_REPART = $(if $(shell apt-cache show systemd-repart 2> /dev/null),systemd-repart)
# A Node.js that is there already brings its own npm, which Debian's package would not go together with.
DEBIAN_PACKAGES = age chromium cpio dosfstools e2fsprogs efibootmgr fdisk ffmpeg genimage iproute2 jq mtools nftables openssl \
	postgresql rauc squashfs-tools systemd umockdev util-linux xdotool xvfb zstd $(SYSTEMD_REPART) \
	$(if $(shell command -v npm),,nodejs npm)
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),sudo)

.DEFAULT_GOAL := help
# What makes and runs the virtual Pi: its root file system by mmdebstrap, the machine by QEMU, in software alone.
VIRTUAL_PI_PACKAGES := cpio debian-archive-keyring e2fsprogs kmod mmdebstrap qemu-system-arm qemu-system-x86 util-linux
# What an image is made by, and from which day of Debian (SNAPSHOT, DEBIAN_MIRROR and their like: docs/provisioning.md).
IMAGE_PACKAGES := cpio debian-archive-keyring dosfstools dpkg-dev e2fsprogs genimage kmod mmdebstrap mtools qemu-user squashfs-tools systemd uidmap util-linux
PROFILE ?= raspios
FIGURES := build/virtual-pi-$(ARCH).jsonl
# With the processors for themselves: a second machine would make their pictures late.
ALONE := $(patsubst %,tests/virtual_pi/test_%.py,camera stamps power_cut)
ON_VIRTUAL_PI = ARCH=$(ARCH) MIRRORCAM_FIGURES=$(FIGURES) $(BIN)/pytest -n 2 --dist loadfile

.PHONY: help demo image image-deps image-layers test test-deps test-image test-image-deps test-virtual-pi test-virtual-pi-deps bench check lock

help: ## Say what each command does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One stamp for this folder, this Python and this lock file: what changes installs again, what does not starts at once.
INSTALLED := $(VENV)/installed-$(shell (pwd; $(PYTHON) -V; cat requirements.lock pyproject.toml) 2>&1 | sha256sum | cut -c1-16)

$(INSTALLED):
	@command -v $(PYTHON) > /dev/null || { echo "There is no $(PYTHON) here: install Python 3.11, 3.12 or 3.13 (on Debian: python3-venv)."; exit 1; }
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit("Mirrorcam needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is %d.%d: call make with PYTHON=python3.13, say." % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip' 2> /dev/null || { echo "$(PYTHON) has no venv module here: install it (on Debian: python3-venv)."; exit 1; }
	@echo "Setting up $(VENV) with the locked packages: once, for a minute or two …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(INSTALLED) ## Play the main job on this computer (ONCE=1: it tells itself; CAMERA=film.mp4 or /dev/video0)
	@$(BIN)/python -m provisioning.demo $(if $(ONCE),--once) $(if $(CAMERA),--camera '$(CAMERA)')

image: $(INSTALLED) ## Build a unit's image under build/image (PROFILE=raspios or debian)
	@$(BIN)/python -m provisioning.image '$(PROFILE)' build/image

image-layers: $(INSTALLED) ## Write the same image under build/image as layers for rpi-image-gen (PROFILE=raspios or debian)
	@$(BIN)/python -m provisioning.image layers '$(PROFILE)' build/image

image-deps: ## Install what builds an image, by apt (as root)
	$(AS_ROOT) apt-get update -qq
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(IMAGE_PACKAGES)

test: $(INSTALLED) ## Run the whole test suite (PYTEST_ARGS= narrows it)
	$(BIN)/pytest $(PYTEST_ARGS)

test-deps: ## Install what the tests need beyond PyPI, by apt (as root) and npm
	$(AS_ROOT) apt-get update -qq
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(DEBIAN_PACKAGES)
	cd $(CONFORMANCE) && npm ci

test-virtual-pi: $(INSTALLED) ## Run unit and dock in an emulated machine, and print what was measured (as root; ARCH=arm64)
	@rm -f $(FIGURES)
	@ARCH=$(ARCH) $(BIN)/python -m tests.virtual_pi.root
	@$(if $(PYTEST_ARGS),$(ON_VIRTUAL_PI) $(PYTEST_ARGS),$(ON_VIRTUAL_PI) tests/virtual_pi $(ALONE:%=--ignore=%))
	@$(if $(PYTEST_ARGS),,$(ON_VIRTUAL_PI) -n 1 $(ALONE))

test-virtual-pi-deps: ## Install what the virtual Pi needs, by apt (as root)
	$(AS_ROOT) apt-get update -qq
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(VIRTUAL_PI_PACKAGES)

test-image: $(INSTALLED) ## Build the debian image, start it in an emulated machine, update it, and print figures (as root)
	@rm -f build/image.jsonl
	@MIRRORCAM_FIGURES=build/image.jsonl $(BIN)/pytest $(or $(PYTEST_ARGS),tests/image)

test-image-deps: image-deps test-virtual-pi-deps ## Install what that needs, by apt (as root)
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq qemu-efi-aarch64 rauc

bench: $(INSTALLED) ## Measure, and show a table beside bench.json (BENCH="age recorder" narrows it)
	$(BIN)/python -m tests.bench $(BENCH)

check: $(INSTALLED) ## Format, lint, types and imports, all silent
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo > .lint-imports.log || { cat .lint-imports.log; rm .lint-imports.log; exit 1; }
	@rm -f .lint-imports.log

# An old pip takes the newest "coverage[toml]" beside a pinned "coverage", and then refuses the whole lock.
COMPILE := .lock-venv/bin/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header \
	--no-emit-index-url --no-annotate --no-config
IMAGE_RECIPE := provisioning/image/recipe

lock: ## Resolve the dependencies anew, with hashes, for Python 3.11 to 3.13, for a dock, and for a unit
	$(PYTHON) -m venv --clear .lock-venv
	.lock-venv/bin/pip install --quiet uv
	$(COMPILE) --extra dev --python-version 3.11 pyproject.toml -o requirements.lock
	$(COMPILE) --python-version 3.11 pyproject.toml -c requirements.lock -o provisioning/install/requirements.lock
	$(COMPILE) --extra pi --python-version 3.13 pyproject.toml --overrides $(IMAGE_RECIPE)/overrides.txt -c requirements.lock \
		-o $(IMAGE_RECIPE)/requirements.lock
	rm -r .lock-venv
