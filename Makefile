# What people type.  Everything runs in an environment of its own, .venv, made when it is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS := $(VENV)/.ready-for-tests
export HYPOTHESIS_PROFILE ?= ci

.PHONY: help run demo setup test bench fuzz hostile mutants chaos lint clean

help:
	@echo 'make run      start one node, a complete exchange, with its data in ./data'
	@echo 'make demo     trade on three nodes, kill one, bring it back, verify everything'
	@echo 'make test     lint, types and all tests; PARTS="units trading" runs some parts only'
	@echo 'make bench    measure; make fuzz, hostile, mutants, chaos: the long campaigns'
	@echo 'make lint     format check, lint, types, import contracts'
	@echo 'make clean    remove what make made, except data'

# The environment is made from nothing, and again when pyproject.toml has changed.  What only
# tests need is installed by those who run them: nobody waits for it before a first demo.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

$(READY): pyproject.toml
	@echo 'Installing into $(VENV); the first time takes a moment'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) -e .
	@touch $@

$(TESTS): pyproject.toml $(READY)
	@$(INSTALL) -e '.[test]'
	@touch $@ $(READY)

run: $(READY)
	$(BIN)/exchange-node --data-dir data

demo: $(READY)
	$(BIN)/exchange demo

bench: $(READY)
	$(BIN)/python -m bench

# An hour each unless MINUTES says otherwise; `python -m fuzz SEED` replays one simulated run.
# Each campaign says its seed (SEED=n begins there again) and ends with one line of JSON.
MINUTES ?= 60
FOR = --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
CAMPAIGNS := fuzz-runs fuzz-stories fuzz-images fuzz-sweep fuzz-chaos fuzz-mutants
.PHONY: $(CAMPAIGNS) coverage

fuzz: $(CAMPAIGNS)

fuzz-runs: $(TESTS)
	$(BIN)/python -m fuzz --processes 2 $(FOR)

fuzz-stories: $(TESTS)
	$(BIN)/python -m fuzz.stories $(FOR)

fuzz-images: $(TESTS)
	$(BIN)/python -m fuzz.images $(FOR)

fuzz-sweep: $(TESTS)
	$(BIN)/python -m fuzz.sweep --nodes 3 --double $(FOR)

fuzz-chaos: $(TESTS)
	$(BIN)/python -m fuzz.chaos --nodes 3 $(FOR)

fuzz-mutants: $(TESTS)
	$(BIN)/python -m fuzz.mutants $(FOR)

# Every branch of engine and store is taken by a test of its rules; fails where one is not.
COVERED := --include='exchange/engine/*,exchange/store/*'
coverage: $(TESTS)
	$(BIN)/coverage run --source=exchange/engine,exchange/store -m pytest -q tests/exchange/engine \
	    tests/exchange/store tests/fuzz/test_regressions.py tests/recovery/test_resolution.py
	$(BIN)/coverage run --append --source=exchange/engine,exchange/store -m fuzz --runs 150
	$(BIN)/coverage report --show-missing --skip-covered --fail-under=100 $(COVERED)

hostile: $(TESTS)
	$(BIN)/python -m fuzz.hostile --inputs 100000

mutants: $(TESTS)
	$(BIN)/python -m fuzz.mutants

chaos: $(TESTS)
	$(BIN)/python -m fuzz.chaos --nodes 3 --minutes 10

lint: part-lint

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# The parts of `make test`, in this order; the first failure ends it.
PARTS ?= lint units trading fire recovery gateway
PYTEST := $(BIN)/pytest -q

.PHONY: $(addprefix part-,lint units trading fire recovery gateway)

setup: $(TESTS)

test: $(TESTS)
	@minutes=; for part in $(PARTS); do \
	    echo "== $$part"; start=$$(date +%s); \
	    $(MAKE) --no-print-directory part-$$part || { echo "== $$part FAILED"; exit 1; }; \
	    took=$$(( $$(date +%s) - start )); \
	    minutes="$$minutes$$(printf '%6d:%02d  %s' $$((took / 60)) $$((took % 60)) $$part)\n"; \
	done; printf "\nminutes  part\n$$minutes"

part-lint: $(TESTS)
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Each part but the first is a folder of tests, and `units` is all the rest.
FOLDERS := tests/trading tests/fuzz tests/recovery tests/exchange/gateway

part-units: $(TESTS)
	$(PYTEST) $(addprefix --ignore=,$(FOLDERS)) tests

part-trading: $(TESTS)
	$(call folder,tests/trading)

part-fire: $(TESTS)
	$(call folder,tests/fuzz)

part-recovery: $(TESTS)
	$(call folder,tests/recovery)

part-gateway: $(TESTS)
	$(call folder,tests/exchange/gateway)

folder = $(if $(wildcard $(1)/test_*.py $(1)/*/test_*.py),$(PYTEST) $(1),@echo 'nothing here yet')
