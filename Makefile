# What a stranger types. `make` explains itself.

VENV   := .venv/bin
CLOUDS := local
PROJECTS := coredns
REFS   := stable,head

# Real machines and clusters need root.
ROOT   := $(filter 0,$(shell id -u))

# Most of a test is waiting, so several run at a time; of those with machines fewer, and each file's one after the other.
# Both kinds run, whatever becomes of the first. Tests that need minutes or an emulator are for test-all.
# What each leaves out, and why, is said at the end of all.
LEFT_OUT := .pytest_cache/left-out
PYTEST := CROSSCLOUD_TESTS_LEFT_OUT=$(LEFT_OUT) $(VENV)/python -m pytest
define run-tests
mkdir -p $(dir $(LEFT_OUT)); : > $(LEFT_OUT); \
$(PYTEST) -n 5 --dist worksteal -m "not root$(1)" tests || failed=1; \
$(if $(ROOT),$(PYTEST) -n 2 --dist loadfile -m "root$(1)" tests || failed=1;) \
cat $(LEFT_OUT); \
exit $${failed:-0}
endef

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint bench setup venv lock clean

help:  ## this text
	@echo "pytest-crosscloud: does this project, at this ref, build, install and work on this cloud's Kubernetes?"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Start with 'make demo' on a Linux host as root: about 15 minutes the first time, 90 seconds after that."
	@echo "It shows reports/out/index.html at its end. Then choose for yourself:"
	@echo "  make demo REFS=v1.14.7 PROJECTS=coredns    or, without make:"
	@echo "  .venv/bin/pytest -n auto --clouds=local --projects=coredns --refs=stable,head"
	@echo "  .venv/bin/crosscloud list | doctor | plan | setup | new | repro | clean"

demo: _root setup  ## set up all that is missing, then build, deploy and test CoreDNS on a local Kubernetes
	$(VENV)/pytest -n auto --clouds=$(CLOUDS) --projects=$(PROJECTS) --refs=$(REFS)

.PHONY: _root
_root:
	@$(if $(ROOT),,echo "The local cloud starts machines, which needs root: sudo make demo" >&2; exit 4)

setup: venv  ## get Debian's packages, Go, Kubernetes, Helm, Terraform and Allure, where they are missing
	@$(VENV)/crosscloud setup

venv:  ## make .venv from requirements.lock
	@scripts/venv

lint: venv  ## style and types
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy

test: lint $(if $(ROOT),setup)  ## all tests but those that need minutes each
	$(if $(ROOT),@$(VENV)/python -m tests.programs)
	$(call run-tests, and not slow)
	@$(if $(ROOT),,echo "Left out: the tests marked root. They start real machines and clusters, which needs root: sudo make test")

test-all: lint $(if $(ROOT),setup)  ## the slow tests too
	$(if $(ROOT),@$(VENV)/python -m tests.programs && $(VENV)/python -m tests.e2e.guest)
	$(call run-tests)
	scripts/oldest-pytest -m "not root and not slow" tests/run tests/pipeline
	@$(if $(ROOT),,echo "Left out: the tests marked root. They start real machines and clusters, which needs root: sudo make test-all")

bench: setup  ## measure, all or one: make bench BENCH=cluster
	$(VENV)/python -m benchmarks $(BENCH)

lock:  ## resolve the dependencies anew, within what the lock files have
	uv pip compile --quiet --universal --generate-hashes --no-header --group dev pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 tests/moto.in --output-file tests/moto.lock
	echo uv | uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate - --output-file scripts/uv.txt

clean:  ## remove what this checkout made; the cache stays (rm -r ~/.cache/crosscloud)
	rm -rf .venv .venv.lock reports/out reports/repro .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
