# `make up` and `make test` are all a machine needs; see README.md.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)

installed := .venv/.installed

SECONDS := 15
SEEDS := 40
FIRST_SEED := 1

# Scenarios that start a desk of their own and share none.
OWN_DESKS := tests/scenario/test_lost_topic.py tests/scenario/test_outside_servers.py tests/scenario/test_up_again.py

# The tests that need neither broker nor database.
COVERING := tests/unit tests/house tests/desk

.PHONY: help install up demo down test test-scenarios test-parts test-long coverage bench bench-parsers versus fuzz simulate lint fmt clean

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

install: $(installed) ## make .venv from the lock, unless that was done

$(installed): requirements.lock requirements-jdk.lock requirements-postgres.lock pyproject.toml scripts/install
	@echo "installing into .venv (done once)"
	@scripts/install
	@touch $@

up: install ## servers, simulated world and all services, until Ctrl-C
	@setpriv --pdeathsig TERM unrip up

demo: install ## the same, which stops by itself after a trade in each direction
	@unrip demo

down: install ## stop what a killed `make up` left behind
	@unrip down

lint: install ## style, types, import rules
	@scripts/check

fmt: install ## rewrite the code in the project's format
	@ruff check --fix-only . && ruff format .

test: lint ## all checks, all tests (the demo among them), the simulation and a little fuzzing
	@$(MAKE) --no-print-directory -j2 test-scenarios test-parts

# Scenarios mostly wait, so that everything else computes beside them.
test-scenarios: install
	@python -m pytest -m "not long" tests/scenario $(OWN_DESKS:%=--ignore=%)

# Scenarios have the time of real venues, so the parts that only compute leave them the first place at the processor.
test-parts: install
	@nice python -m pytest -m "not long" --ignore=tests/scenario
	@nice python -m pytest -m "not long" $(OWN_DESKS)
	@nice $(MAKE) --no-print-directory simulate
	@nice $(MAKE) --no-print-directory fuzz

test-long: install ## the tests that take minutes of load or faults, and the coverage
	@python -m pytest -m long
	@$(MAKE) --no-print-directory coverage

coverage: install ## lines and branches that the tests without servers reach; below the floor in pyproject.toml it fails
	@rm -rf var/coverage && mkdir -p var/coverage
	@nice coverage run -m pytest -m "not long" $(COVERING)
	@coverage combine --quiet && coverage report --skip-covered --sort=cover

bench: install ## latency, memory and CPU of a desk under ten quotes a second
	@python bench/latency.py

versus: install ## our desk and the venue's example solver on one world; SOLVER names its installed checkout
	@python bench/versus.py $(SOLVER)

bench-parsers: install ## time per frame of every parser, up to the worst of 4 MiB
	@PYTHONPATH=src python bench/parsers.py

fuzz: install ## fuzz every parser for SECONDS=15 each, from the kept corpus
	@PYTHONPATH=src python -m fuzz --seconds $(SECONDS)

simulate: install ## the whole desk on virtual time under faults, SEEDS=40 runs of ten minutes from FIRST_SEED=1 on
	@PYTHONPATH=src python -m simulation --seeds $(SEEDS) --first-seed $(FIRST_SEED)

clean: ## remove .venv, caches and the local desk's data
	@if [ -L var/postgres ]; then rm -rf "$$(readlink -f var/postgres)"; fi
	@rm -rf .venv var dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
