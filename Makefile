# What people type.  Everything runs in an environment of its own, .venv, made when it is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export HYPOTHESIS_PROFILE ?= ci

.PHONY: help run demo test bench fuzz mutants chaos lint clean

help:
	@echo 'make run      start one node, a complete exchange, with its data in ./data'
	@echo 'make demo     trade on three nodes, kill one, bring it back, verify everything'
	@echo 'make test     lint, types and all tests; PARTS="units trading" runs some parts only'
	@echo 'make bench    measure; make fuzz, make mutants, make chaos: the long campaigns'
	@echo 'make lint     format check, lint, types, import contracts'
	@echo 'make clean    remove what make made, except data'

# The environment is made from nothing, and again when pyproject.toml has changed.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

run: $(READY)
	$(BIN)/exchange-node --data-dir data

demo: $(READY)
	$(BIN)/exchange demo

bench: $(READY)
	$(BIN)/python -m bench

# About an hour each on two cores; `python -m fuzz SEED` replays one simulated run.
fuzz: $(READY)
	$(BIN)/python -m fuzz --runs 200000 --processes 2
	HYPOTHESIS_PROFILE=nightly $(PYTEST) tests/fuzz

mutants: $(READY)
	$(BIN)/python -m fuzz.mutants

chaos: $(READY)
	$(BIN)/python -m fuzz.chaos --nodes 3 --minutes 10

lint: part-lint

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# The parts of `make test`, in this order; the first failure ends it.
PARTS ?= lint units trading fire recovery gateway
PYTEST := $(BIN)/pytest -q

.PHONY: $(addprefix part-,lint units trading fire recovery gateway)

test: $(READY)
	@minutes=; for part in $(PARTS); do \
	    echo "== $$part"; start=$$(date +%s); \
	    $(MAKE) --no-print-directory part-$$part || { echo "== $$part FAILED"; exit 1; }; \
	    took=$$(( $$(date +%s) - start )); \
	    minutes="$$minutes$$(printf '%6d:%02d  %s' $$((took / 60)) $$((took % 60)) $$part)\n"; \
	done; printf "\nminutes  part\n$$minutes"

part-lint: $(READY)
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Each part but the first is a folder of tests, and `units` is all the rest.
FOLDERS := tests/trading tests/fuzz tests/recovery tests/exchange/gateway

part-units: $(READY)
	$(PYTEST) $(addprefix --ignore=,$(FOLDERS)) tests

part-trading: $(READY)
	$(call folder,tests/trading)

part-fire: $(READY)
	$(call folder,tests/fuzz)

part-recovery: $(READY)
	$(call folder,tests/recovery)

part-gateway: $(READY)
	$(call folder,tests/exchange/gateway)

folder = $(if $(wildcard $(1)/test_*.py $(1)/*/test_*.py),$(PYTEST) $(1),@echo 'nothing here yet')
