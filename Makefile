# Each target sets up a virtual environment on first use.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
# optional dependencies to install, see pyproject.toml; tests of those that are missing are skipped
EXTRAS ?= test,dev
# pip, or uv, which is faster and does not read the settings of pip
INSTALLER ?= pip
install_pip = $(BIN)/python -m pip install -q --disable-pip-version-check
install_uv = $(install_pip) uv && $(BIN)/uv pip install -q --python $(BIN)/python
# processes of the tests, with one thread each
JOBS ?= 2
CONFIG ?= configs/spikformer_ade20k_a2sg.py
DEMO = work_dirs/demo
# folder and more options of gpu-report
GPU_OUT ?= work_dirs/gpu_report
GPU_REPORT ?=

.PHONY: demo docs lint test test-slow test-oldest coverage gpu-report dist install clean

install: $(VENV)/.installed-$(EXTRAS)

$(VENV)/.installed-%: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(install_$(INSTALLER)) -c constraints.txt -e '.[$*]'
	touch $@

# Trains CONFIG on the embedded miniature data, evaluates the best checkpoint, and draws what it sees. Threads that sleep
# while they wait leave the processor to other programs: a busy machine slows the training in proportion.
demo: install
	rm -rf $(DEMO)
	OMP_WAIT_POLICY=passive $(BIN)/python tools/train.py $(CONFIG) --demo --work-dir $(DEMO)
	$(BIN)/python tools/test.py $(CONFIG) --demo --work-dir $(DEMO) --out $(DEMO)/result.json --show-dir $(DEMO)/show best
	@echo 'Picture: $(DEMO)/show/sheet.png   Curves: $(BIN)/tensorboard --logdir $(DEMO)'

# Style, format and types.
lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, build/site/index.html. Every cell of every tutorial runs; a warning is an error.
docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -q -W --keep-going -c docs . build/site

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

test-slow: install
	$(BIN)/python -m pytest -q -m slow

# The tests with the oldest version of each requirement that pyproject.toml admits.
test-oldest:
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install -q --disable-pip-version-check uv
	$(VENV)-oldest/bin/uv pip install -q --python $(VENV)-oldest/bin/python --resolution lowest-direct -e '.[test,hub,export,peers]'
	OMP_NUM_THREADS=1 $(VENV)-oldest/bin/python -m pytest -q -n $(JOBS) --dist loadfile

# Lines of the package that the tests run, in processes that tests start too.
coverage: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --cov --cov-report= --cov-fail-under=0
	$(BIN)/coverage xml -q --fail-under=0
	$(BIN)/coverage report --format=markdown --fail-under=0 > coverage.md
	$(BIN)/coverage report --skip-covered --sort=cover

# On a CUDA machine: checks and speed, then CIFAR-10, in 12 minutes. A failed check does not stop the training. On a CPU:
# make gpu-report GPU_REPORT=--smoke
gpu-report: install
	-$(BIN)/python tools/gpu_report.py checks --out $(GPU_OUT) $(GPU_REPORT)
	$(BIN)/python tools/gpu_report.py training --out $(GPU_OUT) $(GPU_REPORT)

# What a release uploads: a wheel and a source distribution, both checked.
dist: install
	rm -rf dist build/lib build/bdist*
	$(BIN)/check-manifest
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) $(VENV)-oldest work_dirs build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage* coverage.*
