# liju: fewer than ten verbs. `make demo` and `make test` need Python 3.11, make and a package index.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# A file's tests stay in one process, in their order.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-all lint types docs bench clean

demo: .venv/demo.stamp  ## clean real text, pre-train, fine-tune, compare, report
	$(BIN)/liju run recipes/encoder.toml

test: .venv/dev.stamp  ## everything that ends in minutes
	$(PYTEST) -m "not slow"

test-all: .venv/dev.stamp  ## and what takes longer
	$(PYTEST)

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.stamp
	$(BIN)/pyright

docs: .venv/dev.stamp  ## both languages, into site/
	$(BIN)/python docs/build.py

bench: .venv/dev.stamp  ## measured against peers, each a ratio
	for script in bench/*.py bench/train/speed.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv site runs recipes/runs

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade pip -c constraints.txt

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install -c constraints.txt torch==2.13.0
	$(PIP) install -c constraints.txt -e '.[demo]'
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install -c constraints.txt torch==2.13.0
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ .venv/demo.stamp
