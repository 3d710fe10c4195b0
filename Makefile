# make demo   environment, then the main job on real models
# make test   environment, then lint, types, architecture and all tests
# make bench  the figures in the documentation

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# The pins are of CI's Python; another one resolves within the ranges of pyproject.toml.
PINS := $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" if sys.version_info[:2] == (3, 11) else "")')

.DEFAULT_GOAL := help
.PHONY: help demo test lint types architecture unit bench debian-packages clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINS) -e '.[all]'
	@touch $@

$(VENV)/ready-for-tests: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINS) -e '.[all,dev]'
	@touch $@

demo: $(VENV)/ready
	@$(BIN)/fleetmark demo

# What the tests need from Debian, where they may be installed; elsewhere those tests skip.
debian-packages:
	@sh tests/debian-packages.sh

test: debian-packages $(VENV)/ready-for-tests lint types architecture unit

lint: $(VENV)/ready-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready-for-tests
	$(BIN)/mypy

architecture: $(VENV)/ready-for-tests
	$(BIN)/lint-imports

unit: $(VENV)/ready-for-tests
	$(BIN)/python -m pytest

$(VENV)/ready-for-bench: $(VENV)/ready-for-tests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINS) -e '.[all,dev,bench]'
	@# zeus brings it; without AMD's library its import fails in a way that Ray does not expect.
	@$(BIN)/python -m pip uninstall --quiet --yes amdsmi
	@touch $@

bench: $(VENV)/ready-for-bench
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info
