# make demo: CE and RIDE on the embedded data, then the report.   make test: what CI runs.
PYTHON ?= python3
BIN = .venv/bin
TORCH = $(shell grep -E '^torch(vision)?==' constraints.txt)

.PHONY: demo test lint format clean

demo: .venv/installed
	$(BIN)/ltbv demo

test: .venv/installed-test lint
	$(BIN)/python -m pytest

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/lint/typed.py

format: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python setup.cfg constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt $(TORCH) -e .
	touch $@

.venv/installed-test: .venv/bin/python setup.cfg constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt $(TORCH) -e ".[test]"
	touch $@ .venv/installed

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
