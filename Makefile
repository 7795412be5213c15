.DEFAULT_GOAL := help
.PHONY: help setup run test test-all soak check format isolated docs tools bench constraints clean

MEMBERS := $(wildcard rexray-*)
# mypy wants one run per tree: tests in different trees may bear the same name
TYPED_TREES := $(wildcard $(addsuffix /tests,$(MEMBERS)))

help: ## Print these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv ready (every other target does it by itself)
	@tools/setup

run: setup ## Start the service in the foreground on native csi-vfs
	@X_CSI_NATIVE="$${X_CSI_NATIVE:-true}" X_CSI_DRIVER="$${X_CSI_DRIVER:-csi-vfs}" exec .venv/bin/rexray start -f

test: check ## Run every check, and the tests that this machine can run but those that take many minutes
	@tools/test $(PYTEST_ARGS)

test-all: check ## Run those too
	@tools/test --long

soak: setup ## Kill a busy daemon again and again for SOAK_SECONDS (600); SOAK_SEED repeats a plan; needs root
	.venv/bin/python tools/soak

check: setup ## Check format, style and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy $(addsuffix /src,$(MEMBERS))
	@set -e; for tree in $(TYPED_TREES); do \
		if find "$$tree" -name '*.py' | grep -q .; then echo ".venv/bin/mypy $$tree"; .venv/bin/mypy "$$tree"; fi; \
	done
	.venv/bin/mypy conftest.py tools --exclude tools/soak/
	.venv/bin/mypy tools/soak
	.venv/bin/mypy tests

format: setup ## Format the code and mend what ruff can mend
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

isolated: setup ## Test each distribution with only what it declares
	.venv/bin/python tools/isolated.py $(PYTEST_ARGS)

docs: setup ## Build the documentation into build/site; a warning is an error
	.venv/bin/mkdocs build --quiet --strict --clean

tools: setup ## Build csi-sanity, csc and ec2-metadata-mock into .tools/bin, for the tests that need them
	tools/go-tools

bench: setup ## Measure, and print medians and ratios
	.venv/bin/python tools/bench $(BENCH_ARGS)

constraints: ## Write constraints.txt anew with the newest versions
	tools/constraints

clean: ## Remove what was made here; what was fetched into .uv and .tools stays
	rm -rf build dist .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf $(foreach member,$(MEMBERS),$(member)/build $(member)/dist)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
