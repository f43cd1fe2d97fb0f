# make demo, make lab and make test each go from a machine with Python 3.11 to 3.13 to done.
# PYTHON=... chooses the Python; the torch build (CPU or CUDA) is chosen in .ci/install.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
needs := pyproject.toml constraints.txt .ci/install .ci/venv

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo lab test lint types format hooks docs binder badges gallery picture clean

help: ## what can be made
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: $(VENV)/.ready ## train on the bundled ethanol, compare with every rival
	@$(BIN)/asteroid-nb demo

lab: $(VENV)/.ready ## open the notebooks in JupyterLab
	@$(BIN)/asteroid-nb lab

# Everything is run even if one check fails, and pytest last, so that its summary is the last line. Two processes, one
# thread each: more threads than cores would wait for each other.
test: $(VENV)/.ready-dev ## all checks: lint, types, tests, notebooks, browser
	@.ci/browser $(BIN)
	@status=0; $(MAKE) --no-print-directory --keep-going lint types || status=1; \
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --no-loadscope-reorder --nbval-lax --nbval-current-env --nbval-cell-timeout=600 tests $(wildcard notebooks/*.ipynb) || status=1; exit $$status

lint: $(VENV)/.ready-dev ## ruff, without changing anything
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(VENV)/.ready-dev ## pyright
	@$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.ready-dev ## let ruff put the code in order
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

hooks: $(VENV)/.ready-dev ## check and strip before every commit
	@$(BIN)/pre-commit install

gallery: $(VENV)/.ready-dev ## run notebooks and demo, show them as pages without kernel or network; the README's pictures
	@.ci/browser $(BIN)
	@$(BIN)/asteroid-nb gallery --out gallery --picture notebooks/gallery.png
	@$(MAKE) --no-print-directory picture

picture: $(VENV)/.ready-dev ## make the README's picture of the dashboard from the first notebook in a real browser
	@$(BIN)/python tests/browser/picture.py

docs: $(VENV)/.ready-dev ## write the API reference from docstrings to docs/
	@$(BIN)/python .ci/reference.py docs

binder: $(VENV)/.ready-dev ## replay Binder without Docker, in an environment of its own, up to a painted notebook
	@$(BIN)/python tests/browser/binder.py

badges: $(VENV)/.ready-dev ## let links to Binder and Colab follow the address in pyproject.toml
	@$(BIN)/python .ci/badges.py

clean: ## remove the environment and what tools left behind
	@rm -rf $(VENV) build dist docs .pytest_cache .ruff_cache
	@find asteroid_nb tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.ready: $(needs)
	@.ci/venv $(VENV)
	@.ci/install $(BIN)/python md
	@touch $@

$(VENV)/.ready-dev: $(needs)
	@.ci/venv $(VENV)
	@.ci/install $(BIN)/python md,dev
	@touch $(VENV)/.ready $@
