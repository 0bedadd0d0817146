# `make test` and `make demo` are all a newcomer needs; each makes .venv first and keeps it up to date.
# Options:  make demo ARGS="--images DIR --rate 300kbit"    make test PYTEST="-k codec"    make PYTHON=python3.12

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# A version manager may have a python3.11 on the path that does not run, so each is tried.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

# Tests and benchmarks start many processes: without bytecode each would compile all modules that it imports.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help venv test docs demo bench lint style types unit experiments results protos wasm npm sbom aarch pictures fuzz soak clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(READY) ## A virtual environment with everything in it

# The C extension is built here where there is a compiler; without one the coder in numpy does its work.
# pip would compile 11,700 modules, most of which nobody imports; the import at the end compiles those that servers,
# training and figures do.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt
WARM := import overtone.gpu_server.serve, overtone.training.train, overtone.benchmarks.cli, torch._dynamo, matplotlib.figure; \
	from overtone.models.torch_vision import timm; timm()
$(READY): pyproject.toml setup.py frequency/_coder.c frequency/coder.c frequency/coder.h frequency/rans.h constraints.txt
	@test -n "$(PYTHON)" || { echo "Overtone needs Python 3.11 or newer: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation --editable ./models/checkpoints --editable '.[dev]'
	$(BIN)/python -c "$(WARM)"
	@touch $@

# mypy runs on one core, so the tests do not wait for it.
test: style ## Style and import arrows, then types and all tests in parallel
	@$(MAKE) --no-print-directory --jobs 2 types unit

lint: style types ## Style, import arrows and types

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(READY)
	$(BIN)/mypy

# Many tests wait for links and deadlines, so one process more than there are cores keeps the cores busy.
PROCESSES ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
unit: $(READY)
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadgroup --no-loadscope-reorder $(PYTEST)

demo: $(READY) ## Server, thin link and device on real photographs
	$(BIN)/overtone demo $(ARGS)

bench: $(READY) ## A short sweep over thin links and its report, in runs/sweep; continues where it stopped
	$(BIN)/overtone bench sweep short $(ARGS)

experiments: $(READY) ## Train the small recipes of docs/results.md, ARGS="--data DIR --seeds 0,1"; resumes where it stopped
	$(BIN)/python -m experiments.sweep small $(ARGS)

results: $(READY) ## Tables and figures of docs/results.md, load.md and bytes.md again, from the runs logged in docs/runs
	$(BIN)/python -m experiments.results
	$(BIN)/python -m overtone.benchmarks.sweep.docs
	$(BIN)/overtone bench bytes --logged

protos: $(READY) ## The gRPC stubs again, after a change of a contract in protos/
	$(BIN)/python -m overtone.protos.generate

soak: $(READY) ## The tests that take longest, half an hour of mixed load, and every attack on a server of its own; needs Linux
	$(BIN)/python -m pytest -m soak -rs
	$(BIN)/overtone bench soak --minutes 20 $(ARGS)
	$(BIN)/overtone bench faults

docs: $(VENV)/.docs ## The documentation as a site, in build/site
	$(BIN)/python -m website build/docs
	$(BIN)/zensical build --strict --clean
	@echo "To read it: $(BIN)/python -m http.server --directory build/site, then http://localhost:8000"

$(VENV)/.docs: $(READY)
	$(INSTALL) --no-build-isolation --editable '.[docs]'
	@touch $@

WASM := frequency/wasm/overtone.wasm
WASM_EXPORTS := overtone_measure overtone_encode overtone_decode overtone_message \
	overtone_unpack_mask overtone_fit overtone_fit_workspace overtone_letter_box overtone_letter_box_workspace \
	overtone_quantise overtone_picture __heap_base
wasm: ## The codec for browsers and Node again, after a change of C code; needs clang and lld
	clang --target=wasm32 -std=c11 -Wall -Wextra -Werror -O2 -mbulk-memory -msimd128 -ffreestanding -nostdlib \
		-Wl,--no-entry -Wl,--strip-all -Wl,--stack-first $(WASM_EXPORTS:%=-Wl,--export=%) \
		-o $(WASM) frequency/coder.c frequency/block_mask.c frequency/wasm/image.c

# npm leaves links out, so a copy of the folder has files in their place. The version is that of the Python package.
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' overtone/__init__.py)
NPM_OUT := dist
npm: ## The device in JavaScript as a package for npm, in dist/
	mkdir -p build $(NPM_OUT)
	copy=$$(mktemp -d build/npm.XXXXXX) && trap "rm -rf $$copy" EXIT && cp -RL javascript/. $$copy && \
		(cd $$copy && npm --no-update-notifier pkg set version=$(subst rc,-rc.,$(VERSION)) $(REPOSITORY:%=repository.type=git repository.url=git+%.git)) && \
		npm pack --silent --no-update-notifier --pack-destination $(NPM_OUT) ./$$copy

BOM := build/bom
sbom: ## What a device installs, as a bill of materials (CycloneDX) in dist/; needs the package index
	rm -rf $(BOM) && mkdir -p dist
	$(PYTHON) -m venv $(BOM)/device && $(PYTHON) -m venv $(BOM)/tool
	$(BOM)/tool/bin/pip install --quiet cyclonedx-bom
	$(BOM)/device/bin/pip install --quiet --constraint constraints.txt '.[client]'
	$(BOM)/device/bin/pip uninstall --quiet --yes pip setuptools
	$(BOM)/tool/bin/cyclonedx-py environment $(BOM)/device/bin/python -o dist/overtone-$(VERSION)-device.cdx.json

WHEELS := --only-binary=:all: --python-version 3.11 $(addprefix --platform=,manylinux_2_28_aarch64 manylinux_2_17_aarch64 manylinux2014_aarch64)
aarch: ## Whether everything that a device on ARM installs comes as wheels; needs the package index
	@mkdir -p build
	($(PYTHON) deploy/dependencies.py client; $(PYTHON) deploy/dependencies.py camera) > build/device.txt
	$(PYTHON) -m pip install --dry-run --ignore-installed --target build/aarch64 $(WHEELS) --requirement build/device.txt

pictures: $(READY) ## Pictures of the live page for docs/ again; needs Chromium and pip install '.[browser]'
	$(BIN)/python -m tests.page.pictures

COUNT ?= 1000000
ASAN := build/asan
fuzz: $(READY) ## Decode damaged payloads under AddressSanitizer: make fuzz COUNT=1000000 ARGS="--start 0 --twin-every 50"
	CC=gcc CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" \
		$(BIN)/python setup.py --quiet build_ext --force --build-lib $(ASAN) --build-temp $(ASAN)/temp
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 \
		$(BIN)/python -m overtone.benchmarks.codec.fuzz --extension $(ASAN)/overtone/frequency/_coder.abi3.so --count $(COUNT) $(ARGS)

clean: ## Away with everything that can be made again, .venv too
	rm -rf $(VENV) build dist frequency/*.so wheelhouse *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
