# `make run` and `make test` are the two commands of the README; `make check` and then `make interop` is what CI runs.
# Every target installs by itself what it needs. ARGS=... goes to the command of a target.
PYTHON ?= python3
JOBS ?= auto
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Our own packages need no index; uv builds them side by side, which takes a fifth of pip's time.
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation
PACKAGES := libs/hashring libs/otlpwire libs/ottl libs/runtime libs/resolvers libs/pipeline libs/otlpio libs/testkit \
	services/router services/sampler services/cli
CHECKED := $(wildcard conftest.py libs services tests tools bench)

# The compiled form is built where a C compiler and Python's headers are at hand; COMPILE=0 forces the pure one.
CAN_COMPILE := import os, sysconfig; print(int(os.path.exists(sysconfig.get_path("include") + "/Python.h")))
COMPILE ?= $(shell command -v $${CC:-cc} >/dev/null 2>&1 && $(PYTHON) -c '$(CAN_COMPILE)' 2>/dev/null || echo 0)
HOT := $(shell sed -e 's/\#.*//' tools/hot.txt)
export TAILRING_COMPILE := $(COMPILE)

.PHONY: install run test test-pure check interop bench fmt lint type sim fuzz faults kills storage-kills outage outage-sampler docs pins clean

# ---------------------------------------------------------------- installing

# Two stamps: pins change seldom, compiled modules with every edit of a hot one. The second stamp is named after the
# form that is installed, so that another COMPILE installs again.
REQUIREMENTS := $(VENV)/.requirements
INSTALLED := $(VENV)/.installed-$(COMPILE)

install: $(INSTALLED)

$(REQUIREMENTS): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Tailring needs Python 3.11 or newer: make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	$(PIP) --require-hashes -r $<
	@touch $@

$(INSTALLED): $(REQUIREMENTS) $(wildcard $(PACKAGES:=/pyproject.toml) $(PACKAGES:=/setup.py)) tools/hot.txt $(HOT)
	@test $(COMPILE) = 1 || echo 'Without a C compiler and Python.h (or with COMPILE=0) the pure form is installed: it is slower.'
	@test $(COMPILE) = 0 || echo 'Compiling the hot modules, about half a minute.'
	@find libs services -path '*/src/*.so' -delete; rm -f $(VENV)/.installed-*
	$(UV) --reinstall $(addprefix -e ,$(PACKAGES))
	@touch $@

# ---------------------------------------------------------------- using

run: install
	$(BIN)/tailring demo $(ARGS)

bench: install
	$(BIN)/python -m bench $(ARGS)

# ---------------------------------------------------------------- checking

# The suite in the form that is installed: compiled where that is possible.
test: install
	$(BIN)/pytest -n $(JOBS) $(ARGS)

# The suite in the pure form. Compiled modules lie beside their sources, so it runs on a copy of the sources without
# them, first on the path: child processes see it too, and nothing needs to be compiled again afterwards.
PURE := build/pure
test-pure: install
	@rm -rf $(PURE); mkdir -p $(PURE)
	@for package in $(PACKAGES); do cp -R $$package/src/. $(PURE); done
	@find $(PURE) -name '*.so' -delete; rm -rf $(PURE)/*.egg-info
	PYTHONPATH=$(CURDIR)/$(PURE) $(BIN)/pytest -n $(JOBS) $(ARGS)

check: lint type test $(if $(filter 1,$(COMPILE)),test-pure)

interop: install
	tests/interop/real-servers.sh build all
	$(BIN)/pytest tests/interop $(ARGS)

# A whole fleet in one process on a virtual clock; a failure prints the seed that repeats it.
SIMULATION_SEEDS ?= 2000
sim: install
	SIMULATION_SEEDS=$(SIMULATION_SEEDS) $(BIN)/pytest -n $(JOBS) tests/simulation $(ARGS)

# Coverage-guided; new inputs are kept in build/fuzz, what crashes is written there too.
FUZZ_SECONDS ?= 300
fuzz: install
	$(PIP) --require-hashes -r requirements/fuzz.txt
	@mkdir -p build/fuzz/corpus
	$(BIN)/python libs/otlpwire/fuzz/fuzz_wire.py -max_total_time=$(FUZZ_SECONDS) \
		-artifact_prefix=build/fuzz/ $(ARGS) build/fuzz/corpus

# Faults under load, with real processes; each prints a table of what came of it.
faults: install
	$(BIN)/python -m tests.faults backends $(ARGS)

KILLS ?= 20
kills: install
	$(BIN)/python -m tests.faults kills --kills $(KILLS) $(ARGS)

STORAGE_KILLS ?= 50
storage-kills: install
	$(BIN)/python -m tests.faults storage --kills $(STORAGE_KILLS) $(ARGS)

outage: install
	$(BIN)/python -m tests.faults outage $(ARGS)

outage-sampler: install
	$(BIN)/python -m tests.faults sampler $(ARGS)

# ---------------------------------------------------------------- housekeeping

fmt: install
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

lint: install
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet --config pyproject.toml $(PACKAGES:=/src)
	$(BIN)/python tools/tidy.py
	$(BIN)/python tools/docs.py --check

type: install
	$(BIN)/mypy $(CHECKED)

docs: install
	$(BIN)/python tools/docs.py

pins: install
	$(BIN)/python tools/pins.py $(ARGS)

clean:
	rm -rf $(VENV) build
	find libs services -path '*/src/*' \( -name '*.so' -o -name '*.egg-info' \) -prune -exec rm -rf {} +
