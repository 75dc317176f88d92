# make run    everything set up, then the main job: a question, answered through four services
# make test   everything set up, then what CI runs
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LOCKS := deploy/requirements
# The CPU build of torch; asked only where the configured package index does not have it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
# The suite runs on all processors, a file of tests at a time, with the ten slowest tests at the end.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 10
# How long `make fuzz` stays with each parser.
FUZZ_SECONDS ?= 60

.PHONY: run test test-fast trust fuzz conformance lint format down lock benchmarks-setup bfcl-setup images clean

run: $(VENV)/.ready
	@$(BIN)/alpha-umi demo

down:
	@$(BIN)/alpha-umi down

test: $(VENV)/.ready lint $(VENV)-bfcl/.ready
	@deploy/browser.sh
	$(PYTEST)

# For daily work: without the tests that start a real engine, open a page or are marked slow.
test-fast: $(VENV)/.ready
	$(PYTEST) -m "not engine and not browser and not slow"

# About 20 minutes: faults, load and attacks against the real processes, as docs/reliability.md describes them.
trust: $(VENV)/.ready
	$(BIN)/python -m benchmarks.trust

# Under five minutes: foreign suites and the official clients against the standard interfaces (docs/openai.md).
# PARTS names some of them; OPEN_RESPONSES a checkout of Open Responses, whose suite no registry has. Needs Node and npm.
PARTS ?=
conformance: $(VENV)/.ready $(VENV)-conformance/.ready tests/conformance/node_modules/.package-lock.json
	PYTHONPATH=tests $(BIN)/python -m conformance $(PARTS)

$(VENV)-conformance/.ready: $(LOCKS)/conformance.txt
	@test -x $(VENV)-conformance/bin/python || $(PYTHON) -m venv $(VENV)-conformance
	@$(VENV)-conformance/bin/python -m pip --disable-pip-version-check --quiet --quiet install \
		--no-deps --require-hashes --only-binary :all: -r $(LOCKS)/conformance.txt
	@touch $@

tests/conformance/node_modules/.package-lock.json: tests/conformance/package-lock.json
	@npm ci --prefix tests/conformance --no-audit --no-fund --silent
	@touch $@

# About 40 minutes: the random tests far deeper than in every run, benchmarks with real engines, then the parsers with coverage in view.
fuzz: $(VENV)/.ready $(VENV)/.fuzz
	ALPHA_UMI_FUZZ=deep $(BIN)/python -m pytest tests/fuzz tests/benchmarks
	$(BIN)/python tests/fuzz/fuzz_parsers.py --seconds $(FUZZ_SECONDS)

$(VENV)/.fuzz: $(VENV)/.ready $(LOCKS)/fuzz.txt
	@$(PIP) install --no-deps --require-hashes --only-binary :all: -r $(LOCKS)/fuzz.txt
	@touch $@

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.ready: $(LOCKS)/dev.txt $(LOCKS)/torch-cpu.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v[:2] == (3, 11) else f"Python 3.11 is needed, this is {v[0]}.{v[1]}; say make PYTHON=/path/to/python3.11")'
	@echo "Setting up $(VENV): about 2.4 GB, a few minutes, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --no-deps --require-hashes --only-binary :all: -r $(LOCKS)/torch-cpu.txt 2>/dev/null \
		|| $(PIP) install --no-deps --require-hashes --only-binary :all: --index-url $(TORCH_INDEX) -r $(LOCKS)/torch-cpu.txt
	@$(PIP) install --no-deps --require-hashes --only-binary :all: -r $(LOCKS)/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# What `python -m benchmarks.orchestrator` compares with, in an environment of its own.
benchmarks-setup:
	@test -x $(VENV)-benchmarks/bin/python || $(PYTHON) -m venv $(VENV)-benchmarks
	@$(VENV)-benchmarks/bin/python -m pip --disable-pip-version-check --quiet --quiet install \
		--no-deps --require-hashes --only-binary :all: -r $(LOCKS)/benchmarks.txt

# What judges calls for BFCL's questions (`alpha-umi evaluate bfcl`), with BFCL's data, in an environment of its own.
bfcl-setup: $(VENV)-bfcl/.ready
	@echo "data: $$($(VENV)-bfcl/bin/python -c 'import bfcl_eval; print(bfcl_eval.__path__[0])')/data"

$(VENV)-bfcl/.ready: $(LOCKS)/bfcl.txt
	@test -x $(VENV)-bfcl/bin/python || $(PYTHON) -m venv $(VENV)-bfcl
	@$(VENV)-bfcl/bin/python -m pip --disable-pip-version-check --quiet --quiet install \
		--no-deps --require-hashes --only-binary :all: -r $(LOCKS)/bfcl.txt
	@touch $@

# Resolve the dependencies anew; see the script for what it needs.
lock:
	deploy/lock.sh

# Build the images without a Docker engine and run them: make images IMAGES="orchestrator roles-gpu". Needs root and
# Debian's buildah and debootstrap; `python3 -m deploy.images --help` names the variables. No part of the tests.
IMAGES ?=
images:
	@$(PYTHON) -m deploy.images $(IMAGES)

clean:
	rm -rf $(VENV) $(VENV)-benchmarks $(VENV)-bfcl $(VENV)-conformance tests/conformance/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz *.egg-info
