# `make quickstart` and `make test` work on a fresh machine: they make the environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# processes that run tests, each with one thread
JOBS ?= $(shell nproc)
INSTALLED := $(VENV)/.installed
# the documentation's tools, which do not agree with torchattacks about requests
DOCS_VENV := .venv-docs
DOCS_INSTALLED := $(DOCS_VENV)/.installed

.PHONY: help install quickstart test test-fast lint format docs bench clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev,hls,interop,rtl]'
	touch $@

$(DOCS_INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(DOCS_VENV)/bin/python -m pip install --quiet --group docs
	touch $@

install: $(INSTALLED)  ## make the environment and install qlight into it

quickstart: install  ## train a float and a binary network, attack both, print a table, draw pictures
	$(BIN)/python -m qlight quickstart

test: install lint $(DOCS_INSTALLED)  ## lint, types, doctests and tests, slow ones too, but not the thorough ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not thorough' --durations=15 -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-fast: install  ## doctests and the fast tests
	$(BIN)/python -m pytest

lint: install  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: install  ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS_INSTALLED)  ## the documentation site, in site/
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --strict

bench: install  ## speed of training, attacks and the packed engine against their peers
	$(BIN)/python -m pip install --quiet '.[bench]'
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/attacks.py
	$(BIN)/python benchmarks/engine.py

clean:  ## remove the environment and caches
	rm -rf $(VENV) $(DOCS_VENV) .pytest_cache .ruff_cache .hypothesis site
