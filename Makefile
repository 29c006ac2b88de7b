# Sigilo's verbs. `make help` lists them.
# PORT, SIGILO_HOME, DATABASE_URL and REDIS_URL pass through to `make run`; PYTHON names the interpreter
# that .venv is made with.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PROCESSES ?= 3

.PHONY: help run test coverage test-pg15 test-pg16 faults drill image blue-green compat lint bench load sure

help: ## List the verbs
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

run: $(INSTALLED) ## Run everything on 127.0.0.1:$PORT (8000) until Ctrl-C; state lies in $SIGILO_HOME (./var)
	@exec env SIGILO_STOP_WITH_PARENT=1 $(BIN)/sigilo run

ALL_TESTS := -m pytest --numprocesses $(PROCESSES) --dist loadscope --no-loadscope-reorder

test: $(INSTALLED) ## Run all tests, browser tests included
	@scripts/install-chromium
	@scripts/install-prometheus >/dev/null
	@scripts/install-postgresql-15 >/dev/null
	@scripts/install-caddy >/dev/null
	@scripts/install-host-programs >/dev/null
	@$(BIN)/python $(ALL_TESTS)

coverage: $(INSTALLED) ## Run all tests, and fail when they reach less than 90 % of the lines and branches
	@scripts/install-chromium
	@scripts/install-prometheus >/dev/null
	@scripts/install-postgresql-15 >/dev/null
	@scripts/install-caddy >/dev/null
	@scripts/install-host-programs >/dev/null
	@$(BIN)/coverage erase
	@$(BIN)/coverage run $(ALL_TESTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=90

test-pg15: $(INSTALLED) ## Run the tests of schema, roles, search and audit on Debian's PostgreSQL 15
	@programs=$$(scripts/install-postgresql-15) && TEST_POSTGRES_PROGRAMS=$$programs $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadscope -m database

test-pg16: $(INSTALLED) ## Run the same on the wheel's PostgreSQL 16, which still runs the homes that it made
	@programs=$$($(BIN)/python -c "from tests.cluster import brought_programs as brought; print(brought('16').folder)") && TEST_POSTGRES_PROGRAMS=$$programs $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadscope -m database

faults: $(INSTALLED) ## Kill, hang, flush and fill what runs, a thousand times, and check the books (half an hour)
	@FAULTS_HUNG_SECONDS=30 $(BIN)/python -m pytest -rP tests/faults
	@$(BIN)/python -m tests.faults.endurance

# The first are named like no test, so that `make test` does not wait for them.
drill: $(INSTALLED) ## Recover to a second before and from a lost machine; kill backups and restores at any moment (minutes)
	@scripts/install-pgbackrest
	@$(BIN)/python -m pytest -rP tests/drill/*.py
	@DRILL_ROUNDS=30 $(BIN)/python -m pytest tests/backups

image: $(INSTALLED) ## Build the production image without an engine, as root, and run it as one would (minutes)
	@$(BIN)/python -m pytest -rP tests/image/image.py

blue-green: $(INSTALLED) ## Switch between two colours under load, break and kill it at every step: no request fails (minutes)
	@$(BIN)/python -m pytest -rP tests/deploy/blue_green.py

compat: $(INSTALLED) ## Run the tests of the former release, REF, by its own code, on this checkout's schema (minutes)
	@scripts/compat $(REF)

lint: $(INSTALLED) ## Check style, types, who may import whom, the SQL of migrations, and queries of logs and traces
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports
	@$(BIN)/python -m migrations.lint
	@scripts/check-queries

bench: $(INSTALLED) ## Measure the API through the real server
	@scripts/install-wrk
	@$(BIN)/python -m bench

load: $(INSTALLED) ## A hundred people at a whole clinic for five minutes (LOAD_SECONDS); compares with the baseline
	@$(BIN)/python -m load

sure: lint coverage ## The whole gate

$(INSTALLED): constraints.txt pyproject.toml scripts/make-venv
	@scripts/make-venv $(VENV)
	@touch $@
