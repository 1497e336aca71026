# make serve: the server on the bundled backbone and adapters.  make test: the tests.  Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
PORT ?= 3000

.PHONY: serve test lint bench bento clean
serve: $(VENV)/.serving
	$(BIN)/polygraft serve --port $(PORT)

test: $(VENV)/.all
	$(BIN)/python -m pytest

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.all
	$(BIN)/python tests/bench/mixed.py

bento: $(VENV)/.serving
	$(BIN)/bentoml build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serving: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the serving dependencies into $(VENV) (about a minute)"
	$(PIP) -e .
	@touch $@

$(VENV)/.all: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the training and test dependencies into $(VENV) (a few minutes)"
	$(PIP) -e '.[train,test]'
	@touch $@ $(VENV)/.serving

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache
