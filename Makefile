# Sets itself up on a fresh machine: Python 3.11 or newer, and Debian's packages where root runs it.
PYTHON ?= python3
# Where the CPU wheel of torch comes from unless pip already has one at hand (its find-links); on
# PyPI the Linux wheel brings gigabytes of CUDA. Empty: whatever pip's own index holds.
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := .venv/bin
# Of `make test-long` and `make soak`: 0 .. 2^32 - 1.
SEED ?= 1
RANDOM_DESIGNS := $(addprefix tests/, datapath/test_golden.py datapath/test_shipped.py \
  rtl/blocks/test_components.py rtl/blocks/test_hardwired.py rtl/blocks/test_adder_graph.py \
  rtl/test_emit.py rtl/proof/test_proof.py learning/test_quantization.py)

# Whatever the user's shell says, what tests start finds our modules compiled.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# A file at a time to each core, in the order of tests/conftest.py.
TWO_CORES := -n 2 --dist loadfile --no-loadscope-reorder

DEBIAN_PACKAGES := g++ iverilog opensta python3-venv
INSTALL_SLURM := DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends \
  slurm-wlm munge >/dev/null

# What needs no hardware tool (simulators, Yosys, OpenSTA) and no installation.
FAST_TESTS := $(addprefix tests/, api architecture comparison config datapath evaluation learning \
  link records report support test_runs.py waveforms)

.PHONY: demo test test-fast test-long soak slurm coverage setup tools docs dist clean

demo: setup
	$(BIN)/dbp run demo --out runs/demo

# Style, types and every test.
test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(PYTEST) $(TWO_CORES)

# Every test, twice as slow: how much of the code the tests run, with a floor in pyproject.toml.
coverage: setup
	$(PYTEST) $(TWO_CORES) --cov --cov-report=term

# Under two minutes on two cores.
test-fast: setup
	$(BIN)/ruff check .
	$(PYTEST) -q $(TWO_CORES) -m "not slow" $(FAST_TESTS)

# The site: docs/_build/html/index.html. Executes the tutorials; warnings are errors; no network.
docs: .venv/.docs-ready
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -b html -W --keep-going -j 2 -d docs/_build/doctrees \
	  docs docs/_build/html

# Forty times as many random designs and damaged files, some thousands, and larger ones, from a seed:
# an hour or more.
test-long: setup
	DBP_TEST_SCALE=40 $(PYTEST) -n 2 --hypothesis-seed=$(SEED) \
	  $(RANDOM_DESIGNS) tests/waveforms/test_recording.py

# Kills commands at random moments, from a seed: an hour on two cores for 100 kills.
soak: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/soak.py --kills 100 --seed $(SEED)

# What a release uploads, checked: docs/development/releasing.md.
dist: setup
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*

# The links are none in a source distribution.
setup: tools .venv/.ready
	@for folder in rtl sim synthesis; do [ -e dbp/$$folder ] || ln -s ../$$folder dbp/$$folder; done

# Without root: says what to install and goes on; the stages that miss a tool say so too.
tools:
	@if command -v g++ >/dev/null && command -v iverilog >/dev/null && command -v sta >/dev/null \
	    && $(PYTHON) -c 'import ensurepip' 2>/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends $(DEBIAN_PACKAGES); then :; \
	else \
	  echo "Some of these packages are missing: apt-get install $(DEBIAN_PACKAGES) (as root)"; \
	fi

# A Slurm of this machine, for one test of `dbp ber --cluster slurm`; without it that test is skipped.
slurm: setup
	@command -v slurmctld >/dev/null || [ "$$(id -u)" != 0 ] || \
	  $(INSTALL_SLURM) 2>/dev/null || { apt-get update -qq && $(INSTALL_SLURM); } || \
	  echo "no slurm-wlm: its test is skipped"

.venv/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dbp needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "Python lacks its venv module: apt-get install python3-venv (as root)"; exit 1; }
	@if $(BIN)/python -c 'import torch' 2>/dev/null; then :; \
	elif [ -z '$(TORCH_INDEX)' ] || $(BIN)/pip install -q --dry-run --no-deps --no-index '$(TORCH)' >/dev/null 2>&1; then \
	  $(BIN)/pip install -q --no-compile '$(TORCH)'; \
	else \
	  $(BIN)/pip install -q --no-compile --index-url '$(TORCH_INDEX)' '$(TORCH)'; \
	fi
	$(BIN)/pip install -q --no-compile -e '.[test]'
	@# On all cores, where pip uses one: half of its time. Some packages hold files of other Pythons.
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || :
	@touch $@

.venv/.docs-ready: .venv/.ready
	$(BIN)/pip install -q -e '.[docs]'
	@touch $@

clean:
	rm -rf .venv build dist runs docs/_build docs/reference/generated *.egg-info
