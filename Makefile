# Sendledger: `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run test lint types schemas check bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(STAMP) ## make the virtual environment in .venv

run: $(STAMP) ## set up and run the demonstration: both senders, two working days, in ./demo
	$(BIN)/sendledger demo

test: $(STAMP) ## set up and pass all tests
	$(BIN)/python -m pytest --numprocesses auto

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

schemas: $(STAMP) ## write the JSON Schemas of all events into docs/schemas
	$(BIN)/sendledger audit schemas docs/schemas

check: lint types test ## everything CI runs

bench: $(STAMP) ## measure speed and memory beside their targets and bare loops (docs/performance.md)
	$(BIN)/python -m tests.benchmarks

clean: ## remove the environment and all caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
