# Everything that a fresh machine needs to run, test and try Hotfoot.
# make setup   .venv with the locked packages, .venv/bin/hotfoot in it
# make demo    a running instance moves between real hosts (needs root; uses sudo when it is there)
# make test    lint, unit tests, lab tests
SHELL := /bin/bash
UV_VERSION := 0.13.8
UV := .uv/bin/uv
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo "sudo --preserve-env=HOTFOOT_CACHE,HOTFOOT_RUN,HOTFOOT_FAULT_TABLE,CI,TERM")

.PHONY: setup demo test lint unit lab-tests slow-tests fault-matrix bench bench-virsh bench-facts bench-openstack bench-judge bench-steering bench-steering-lab bench-drain bench-forecast bench-placement bench-placement-size bench-soak clean packages lock

setup: .venv/.installed

# Stamped by what it depends on, so that a second run costs nothing.
.venv/.installed: requirements.lock pyproject.toml | .packages
	@python=$$(./tools/find-python) && { [ -x $(UV) ] || { $$python -m venv .uv && .uv/bin/pip install --quiet uv==$(UV_VERSION); }; } && \
	  { [ -x .venv/bin/python ] || $(UV) venv --quiet --python "$$python" .venv; }
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@.venv/bin/python -m compileall -q src
	@echo "ready: .venv/bin/hotfoot"

# What the machine itself must have; a stamp keeps apt from being asked again.
.packages: tools/install-packages
	@./tools/install-packages
	@touch $@

packages:
	@rm -f .packages && $(MAKE) --no-print-directory .packages

demo: setup
	@$(SUDO) .venv/bin/python -m hotfoot.lab.demo $(ARGS)

test: lint unit lab-tests

lint: setup
	@.venv/bin/ruff check --quiet . && .venv/bin/ruff format --quiet --check . && .venv/bin/mypy --no-error-summary && .venv/bin/lint-imports --no-logo 2>&1 | tail -n 8

# File by file, as many at once as there are cores, up to four.
unit: setup
	@.venv/bin/pytest -q -m "not lab" -n auto --maxprocesses 4 --dist loadfile

lab-tests: setup
	@$(SUDO) .venv/bin/pytest -q -m lab --durations=40 $(ARGS)

# The lab tests that take minutes each, which `make test` leaves out; two hours and more. ARGS='-k nfs' runs some.
slow-tests: setup
	@$(SUDO) .venv/bin/pytest -q -m "lab and matrix" tests/lab $(ARGS)

# Half an hour and more; writes its table into docs/faults.md. ARGS='-k libvirtd' tries some rows, and keeps the others.
fault-matrix: setup
	@HOTFOOT_FAULT_TABLE=docs/faults.md $(SUDO) .venv/bin/pytest -q -s -m "lab or matrix" tests/lab/test_fault_matrix.py tests/lab/test_recover.py tests/lab/test_dead_stream.py tests/lab/test_soak.py $(ARGS)

# All are run, whichever misses its goal.
bench: setup
	@status=0; for target in bench-virsh bench-facts bench-openstack bench-judge bench-steering bench-drain; do \
	  $(MAKE) --no-print-directory $$target || status=1; done; exit $$status

bench-virsh: setup
	@$(SUDO) .venv/bin/python benchmarks/against_virsh.py $(ARGS)

bench-facts: setup
	@$(SUDO) .venv/bin/python benchmarks/facts_of_hosts.py $(ARGS)

# A quarter of an hour and more; installs python-openstackclient into a virtual environment of its own.
bench-openstack: setup
	@$(SUDO) .venv/bin/python benchmarks/openstack_speed.py $(ARGS)

bench-judge: setup
	@.venv/bin/python benchmarks/judge_hosts.py $(ARGS)

# Makes .venv-bench with Nova in it, the first time.
bench-steering: setup
	@.venv/bin/python benchmarks/steering.py $(ARGS)

bench-steering-lab: setup
	@$(SUDO) .venv/bin/python benchmarks/steering_in_lab.py $(ARGS)

bench-drain: setup
	@$(SUDO) .venv/bin/python benchmarks/drain_in_lab.py $(ARGS)

bench-forecast: setup
	@$(SUDO) .venv/bin/python benchmarks/forecast_accuracy.py $(ARGS)

# ARGS='--instances DIR --seconds N --out DIR' are those of machine reassignment, SIZE_ARGS those of bench-placement-size.
bench-placement: setup
	@status=0; .venv/bin/python benchmarks/placement_size.py $(SIZE_ARGS) || status=$$?; \
	  .venv/bin/python -m benchmarks.machine_reassignment $(ARGS) || status=$$?; exit $$status

# ARGS='--snapshots DIR' drains each host of real clusters too.
bench-placement-size: setup
	@.venv/bin/python benchmarks/placement_size.py $(ARGS)

# Half an hour and more.
bench-soak: setup
	@$(SUDO) .venv/bin/python benchmarks/soak.py $(ARGS)

# Only labs, caches and what this Makefile made; cached images stay (rm -r /var/cache/hotfoot removes those).
clean:
	@if [ -x .venv/bin/hotfoot ]; then $(SUDO) .venv/bin/hotfoot lab down --all; fi
	@rm -rf .venv .venv-bench .uv .packages .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

# After a change of dependencies in pyproject.toml. Names no index, so that it installs from whichever one is configured.
lock: setup
	@$(UV) pip compile --quiet --universal --group dev --generate-hashes --no-header --no-emit-index-url --output-file requirements.lock pyproject.toml
