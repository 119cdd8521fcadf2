# Two commands do everything on a machine with Python 3.10 to 3.12, make and git:
#   make demo    the whole road on drawn people, in its own .venv
#   make test    the tests

.PHONY: help venv demo test lint clean
.DEFAULT_GOAL := help

# The first Python of a version that TensorFlow 2.21 and its neighbours run on.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.10 python3; do \
  "$$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
  2>/dev/null && echo "$$name" && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
# Tests of one file stay in one process, which draws and trains once for all.
# Files begin in the order of tests/conftest.py, not those of most tests first.
TEST_PROCESSES ?= 2

help:
	@echo "make venv   create .venv with the pinned dependencies and the package"
	@echo "make demo   draw people, build, train, evaluate, export, predict"
	@echo "make test   run the tests (YOURFACE_SLOW=1 for the long ones too)"
	@echo "make lint   ruff and pyright"
	@echo "make clean  remove .venv and what demo and tests left"

venv: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10, 3.11 or 3.12 found;" \
	  "install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { echo "error: $(PYTHON) cannot make a virtual" \
	  "environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable ".[app,test]"
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m yourface_tfds.demo --output_dir=demo_output

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadfile \
	  --no-loadscope-reorder --max-worker-restart=2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:
	rm -rf .venv demo_output .pytest_cache .ruff_cache build *.egg-info
