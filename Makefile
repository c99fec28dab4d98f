# One command for each chore; each sets up .venv/ if it is not there, and only what the chore needs.
#
#   make demo [INPUT=path]   a self-contained tour on this machine
#   make test [ARGS=...]     all tests, or the ones that ARGS names
#   make coverage            all tests, and which lines they reach; half as slow again
#   make check               format, lint, types, import rules, sizes
#   make bench [ARGS=...]    the benchmarks, one table
#   make docs                the documentation, into site/
#   make setup               everything that the others need
#   make clean               remove what make has made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AT_ONCE := -n logical --maxprocesses 4 --dist worksteal
PIP := $(BIN)/python -m pip install --disable-pip-version-check -qq --constraint constraints.txt
HAS_NODE := $(shell command -v node)
# Packages that the tests install as a third party's would be.
TEST_PACKAGES := $(wildcard tests/*/pyproject.toml tests/*/*/pyproject.toml)

# The path is handed on as it was written: neither make nor the shell reads it.
override INPUT := $(value INPUT)
export INPUT

.PHONY: demo test coverage check bench docs setup clean help
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.has-package $(VENV)/.has-console
	@$(BIN)/mediafleet demo $${INPUT:+--input="$$INPUT"}

test: $(VENV)/.has-test $(VENV)/.has-test-packages $(VENV)/.has-console
	@$(BIN)/python -m pytest $(AT_ONCE) $(ARGS)

coverage: $(VENV)/.has-test $(VENV)/.has-test-packages $(VENV)/.has-console
	@$(BIN)/python -m pytest $(AT_ONCE) --cov --cov-report=term

check: $(VENV)/.has-test $(VENV)/.has-test-packages $(VENV)/.has-check $(if $(HAS_NODE),,$(VENV)/.has-assets)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_sizes.py

bench: $(VENV)/.has-package
	@$(BIN)/mediafleet bench $(ARGS)

docs: $(VENV)/.has-docs
	$(BIN)/python scripts/make_config_reference.py
	$(BIN)/zensical build --clean

setup: $(VENV)/.has-package $(VENV)/.has-test $(VENV)/.has-test-packages $(VENV)/.has-check $(VENV)/.has-docs $(VENV)/.has-console
	@echo "Ready: $(BIN)/mediafleet --help"

clean:
	rm -rf $(VENV) site dist build .cache .pytest_cache .ruff_cache .hypothesis .coverage* src/mediafleet/console/static/vendor

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "mediafleet needs Python 3.11 or newer, and $(PYTHON) is %d.%d; name another one: make PYTHON=python3.12" % v[:2])'
	@echo "Making $(VENV)/ with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The module venv is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check -qq --upgrade "pip>=25.1"

$(VENV)/.has-package: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing mediafleet and its libraries (about half a minute) …"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.has-console: package.json scripts/fetch_assets.py $(VENV)/.has-package
	@$(BIN)/python scripts/fetch_assets.py
	@touch $@

$(VENV)/.has-test-packages: $(TEST_PACKAGES) $(VENV)/.has-package
	@for file in $(TEST_PACKAGES); do $(PIP) --no-deps --editable "$$(dirname "$$file")" || exit 1; done
	@touch $@

# A dependency group of pyproject.toml: test, check, docs or assets.
$(VENV)/.has-%: $(VENV)/.has-package
	@echo "Installing what '$*' needs …"
	@$(PIP) --group $*
	@touch $@
