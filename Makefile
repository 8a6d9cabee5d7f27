# PYTHON may be any Python 3.11 or newer: make PYTHON=python3.12 test
PYTHON ?= python3
PIP = .venv/bin/python -m pip -qq --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: help venv demo test test-all check format bench docs clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

venv: .venv/ready  ## .venv with the locked packages and alexnet itself

demo: .venv/ready  ## a first training, its errors and its figures
	.venv/bin/alexnet demo

test: .venv/ready  ## format, lint, types and tests: what CI runs
	scripts/check

test-all: .venv/ready  ## the same with the slow tests
	scripts/check -m ""

check: .venv/ready  ## the same as test, last failures first, stopping at the first one
	scripts/check --failed-first --exitfirst

format: .venv/ready  ## put every file into the house format
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .

bench: .venv/ready  ## print the rows of docs/RESULTS.md again
	@set -e; for name in initial_signal kernels training_step \
	    "training_step --net torchvision" "training_step --precision fp32" \
	    inference "inference --batch 1" "inference --batch 1 --precision int8" growth \
	    "caffe_digits runs/caffe-digits" convolution_algorithms \
	    "convolution_training steps" "convolution_training curves" \
	    "plan_check --batch 16 --repeats 3" faults shard_damage; do \
	  echo; .venv/bin/python -m benchmarks.$$name; \
	done

docs: .venv/ready  ## the documentation as a site, in build/site
	@.venv/bin/python -c 'import mkdocs' 2>/dev/null || \
	  { echo "the site needs MkDocs: .venv/bin/pip install 'mkdocs>=1.6,<2'" >&2; exit 1; }
	.venv/bin/python -m mkdocs build --quiet
	@echo build/site/index.html

clean:  ## remove what tools left; .venv and runs stay
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find alexnet tests benchmarks scripts -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# The lock lists the CPU build's needs. Torch's CUDA build needs libraries of its own: the line
# that names torch again installs those, and does nothing for a CPU build.
.venv/packages: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; use make PYTHON=python3.11 or newer" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) install --no-deps -r requirements.lock
	$(PIP) install "$$(grep '^torch==' requirements.lock)"
	@touch $@

# Compiles the kernels too, where there is a C++ compiler. The compat mode puts a plain path into
# the venv; the default, an import hook, slows each start of Python there.
.venv/ready: .venv/packages pyproject.toml $(wildcard alexnet/native/*.cpp alexnet/native/*.h)
	$(PIP) install --no-build-isolation --no-deps --config-settings editable_mode=compat -e .
	@touch $@
