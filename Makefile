# `make run` and `make test` are the two commands of the README; `make check` is what CI runs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/hashring libs/otlpwire libs/runtime libs/resolvers libs/pipeline libs/otlpio libs/testkit \
	services/router services/sampler services/cli
# The compiled form is built where a C compiler is at hand; COMPILE=0 forces the pure one.
COMPILE ?= $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo 1 || echo 0)
HOT := $(shell $(if $(wildcard tools/hot.txt),sed -e 's/\#.*//' tools/hot.txt))
STAMP := $(VENV)/.installed-$(COMPILE)
export TAILRING_COMPILE := $(COMPILE)

.PHONY: install run test check interop bench fmt lint type sim pins clean

install: $(STAMP)

$(STAMP): requirements/dev.txt $(wildcard $(addsuffix /pyproject.toml,$(PACKAGES)) $(addsuffix /setup.py,$(PACKAGES))) $(HOT)
	@$(PYTHON) -c 'import sys; sys.exit("Tailring needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@find libs services -name '*.so' -path '*/src/*' -delete; rm -f $(VENV)/.installed-*
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

run: install
	$(BIN)/tailring demo

fmt: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python tools/tidy.py

type: install
	$(BIN)/mypy libs services tests tools bench

pins:
	$(BIN)/python tools/pins.py

clean:
	rm -rf $(VENV) build; find libs services -name '*.so' -delete
