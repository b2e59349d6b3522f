# Each target does all of its own set-up: on a fresh clone, git, make and a Python >= 3.11 are enough.
#
#   make demo            the whole story on one screen (ARGS=--trace shows every handshake message)
#   make test            the tests            (ARGS="-k hints -x" is passed to pytest; JOBS=0 for one process)
#   make lint            style, types, architecture
#   make bench           measurements against ssl, pyOpenSSL and rtls
#   make fuzz            every fuzz target for a while (SECONDS=30 for each; ARGS=client for one)
#   make docs            the documentation site, into build/site (warnings are errors)
#   make soak            the soak in its long form: minutes, with figures (`make test` runs a short one)
#   make clean           removes everything that the others made
#
# PYTHON=python3.13 make test   uses another interpreter (after `make clean`, if .venv is there already).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
JOBS   ?= auto
SECONDS ?= 30
SOURCES := src tests fuzz $(wildcard bench examples)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench fuzz docs soak clean

help:
	@sed -n '3,13s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.installed-cli
	@$(BIN)/trustls demo $(ARGS)

test: $(VENV)/.installed-dev
	@$(BIN)/python -bb -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy --strict $(SOURCES)
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(VENV)/.installed-bench
	@$(BIN)/python -m bench $(ARGS)

fuzz: $(VENV)/.installed-fuzz
	@$(BIN)/python -m fuzz --seconds $(SECONDS) $(ARGS)

docs: $(VENV)/.installed-docs
	@$(BIN)/python -m tests.docs.site

soak: $(VENV)/.installed-dev
	@TRUSTLS_SOAK=long $(BIN)/python -bb -m pytest tests/soak $(ARGS)

clean:
	rm -rf $(VENV) .cache .fuzz .interop .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests fuzz $(wildcard bench) -name __pycache__ -type d -prune -exec rm -rf {} +

# One virtual environment; a stamp for each extra, older than pyproject.toml when it must be installed again.
$(VENV)/.installed-%: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing trustls[$*] into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

$(VENV)/pyvenv.cfg:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "There is no '$(PYTHON)' here. trustls needs Python 3.11 or newer; name yours: make PYTHON=/path/to/python3" >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "trustls needs Python 3.11 or newer, and '$(PYTHON)' is `"$(PYTHON)" -V 2>&1`." >&2; \
	  echo "Name a newer one: make PYTHON=python3.13" >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its venv and ensurepip modules are missing." >&2; \
	  echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; }
	@echo "Making $(VENV) with `"$(PYTHON)" -V` ..."
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
