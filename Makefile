# make serve: the server on the bundled backbone and adapters.  make test: the tests.  Both set up what they need.
# make test leaves out what is marked `long`; make test LONG=1 runs everything, as CI does.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
PORT ?= 3000
LONG ?=
WORKERS ?= 2
# a file of tests stays in one process, for its fixtures; files start in the order of their names, the short ones of unit/ last
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(if $(LONG),,-m "not long")

.PHONY: serve test coverage lint bench bento clean
serve: $(VENV)/.serving
	$(BIN)/polygraft serve --port $(PORT)

test: $(VENV)/.all
	$(PYTEST)

coverage: $(VENV)/.all
	$(PYTEST) --cov --cov-report=term --cov-report=html

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.all
	$(BIN)/python tests/bench/all.py

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
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .coverage* htmlcov
