# make demo: CE and RIDE on the embedded data, then the report.   make test: what CI runs.   make docs: the site.
# make test-all: hours.
PYTHON ?= python3
BIN = .venv/bin
TORCH = $(shell grep -E '^torch(vision)?==' constraints.txt)

PYTEST = $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.PHONY: demo test test-all lint format docs clean

demo: .venv/installed
	$(BIN)/ltbv demo

test: .venv/installed-dev lint
	$(PYTEST)

# As other processors round, on one thread and on two; and an hour of fuzzing.
test-all: test
	set -e; for capability in default avx2; do for threads in 1 2; do \
		echo "ATEN_CPU_CAPABILITY=$$capability OMP_NUM_THREADS=$$threads"; \
		ATEN_CPU_CAPABILITY=$$capability OMP_NUM_THREADS=$$threads $(PYTEST); \
	done; done
	$(BIN)/python tests/fuzz/campaign.py --seconds 3600

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in docs/_build/html; a warning is an error. EXAMPLES=0 leaves the gallery's programs unrun.
EXAMPLES ?= 1
docs: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q -D plot_gallery=$(EXAMPLES) docs docs/_build/html

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python setup.cfg constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt $(TORCH) -e .
	touch $@

.venv/installed-dev: .venv/bin/python setup.cfg constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt $(TORCH) -e ".[test,docs]"
	touch $@ .venv/installed

clean:
	rm -rf .venv build docs/_build docs/gallery docs/sg_execution_times.rst *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
