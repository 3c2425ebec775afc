# make book · make test · make serve · make lab: everything from nothing but Python 3.11 or newer and make.
PYTHON  ?= python3
PROFILE ?= quick
PORT    ?= 8000
# Chapters at the same time, each with its share of the cores and about 1.2 GB of memory; a GPU gets one.
JOBS    ?= $(if $(filter gpu paper,$(PROFILE)),1,$(shell $(BIN)/python -c "from companion.publishing.running.provenance import cores; print(min(4, cores()))"))

VENV := .venv
BIN  := $(VENV)/bin
HTML := _build/html

# A worker for each core, one torch thread each; the chapters' files come first, since they take longest.
PYTEST = $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# Settings of the user that would let pip install elsewhere, or packages in the home folder hide the locked ones.
export PIP_USER := 0
export PYTHONNOUSERSITE := 1
unexport PIP_TARGET PIP_PREFIX

# An environment that is there is used, whatever $(PYTHON) is. It is made again where it was interrupted (no pip), where its
# Python is gone, and where the folder was moved, since its programs name the place they were installed in.
VENV_READY = $(shell $(BIN)/python -c "" 2>/dev/null && grep -qsF "$$(cd $(BIN) && pwd -P)/python" $(BIN)/pip && echo yes)

# Runs on any Python since 2.7; prints what is wrong with it, nothing when it can make the environment.
CHECK = import pkgutil, sys; there = [m[1] for m in pkgutil.iter_modules()]; \
gone = [m for m in ('venv', 'ensurepip') if m not in there]; \
print('is Python %d.%d, the companion needs 3.11 or newer: install it' % sys.version_info[:2] \
if sys.version_info < (3, 11) else \
'has no module %s: install it (Debian, Ubuntu: apt install python3-venv)' % gone[0] if gone else '')
FOUND = $(shell command -v $(PYTHON) 2>/dev/null)
CHECKED = $(shell $(PYTHON) -c "$(CHECK)" 2>/dev/null || echo "does not run: install Python 3.11 or newer")
PROBLEM = $(if $(FOUND),$(strip $(CHECKED)),was not found: install Python 3.11 or newer)
REFUSE = $(error $(PYTHON) $(PROBLEM), or name another Python: make $(or $(MAKECMDGOALS),book) PYTHON=python3.12)

TWINS = $(patsubst %.py,%.ipynb,$(wildcard notebooks/*.py))

.DEFAULT_GOAL := help
.PHONY: help book test test-fast serve lab twins lock clean again

help:
	@echo "make book [PROFILE=quick]   run every chapter and build the pages (profiles: smoke, quick, recorded, gpu, paper);"
	@echo "                            JOBS=1 runs one chapter after the other, in less memory"
	@echo "make test                   run the tests, a worker for each core (8 CPU minutes)"
	@echo "make test-fast              run those that are not marked slow (under 3 CPU minutes)"
	@echo "make serve [PORT=8000]      show the pages on a local web server"
	@echo "make lab                    open the chapters in JupyterLab, with a kernel: controls move, cells can be changed"
	@echo "make twins                  make a notebook and its .py twin equal: the newer of the two wins"
	@echo "make lock                   bring requirements.lock and requirements-cluster.lock in line with pyproject.toml;"
	@echo "                            UPGRADE=--upgrade takes the newest versions of everything"
	@echo "make clean                  remove the built pages (runs and trained networks: companion clean --all)"
	@echo "Another Python than python3: make book PYTHON=python3.12"

book: $(VENV)/.installed
	@echo "== Running the chapters in profile $(PROFILE); what is up to date is not run again"
	@$(BIN)/companion run --profile $(PROFILE) --jobs $(JOBS)
	@echo "== Building the pages (about 10 seconds)"
	@$(BIN)/companion build --profile $(PROFILE)

test: $(VENV)/.installed
	@echo "== Running the tests"
	@$(PYTEST)

test-fast: $(VENV)/.installed
	@echo "== Running the tests that are not marked slow"
	@$(PYTEST) -m "not slow" $(TESTS)

serve: $(VENV)/.installed
	@test -f $(HTML)/index.html || $(MAKE) book
	@$(BIN)/python -c "import socket; socket.create_server(('127.0.0.1', $(PORT)))" 2>/dev/null || \
		{ echo "port $(PORT) cannot be used (taken?): name another, such as make serve PORT=8765" >&2; exit 1; }
	@echo "== The book is at http://127.0.0.1:$(PORT)/ until you press Ctrl-C"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(HTML)

# Of kernels of one name, the environment's own goes before the user's.
lab: $(VENV)/.installed
	@echo "== The chapters open in the browser; Ctrl-C twice ends it. Before a commit: $(BIN)/nbstripout notebooks/*.ipynb, make twins"
	@JUPYTER_PREFER_ENV_PATH=1 $(BIN)/jupyter lab notebooks

# What jupytext notes about blank lines is of no use to a reader of the notebook.
twins: $(VENV)/.installed
	@$(BIN)/jupytext --quiet --sync $(TWINS)
	@$(BIN)/nbstripout --extra-keys "cell.metadata.lines_to_next_cell" $(TWINS)

lock: $(VENV)/.installed
	@echo "== Resolving the lock files (a few seconds)"
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile $(UPGRADE) pyproject.toml --universal --python-version 3.11 --generate-hashes \
		--extra book --extra lab --extra test --extra build --custom-compile-command "make lock" --quiet -o requirements.lock
	@$(BIN)/uv pip compile $(UPGRADE) pyproject.toml --universal --python-version 3.11 --generate-hashes \
		--extra cluster --constraint requirements.lock --no-annotate \
		--custom-compile-command "make lock" --quiet -o requirements-cluster.lock

clean:
	rm -rf _build

# The stamp is newer than what it was installed from, so a changed lock file installs again.
$(VENV)/.installed: requirements.lock requirements-oracles.lock pyproject.toml $(if $(VENV_READY),,again)
	$(if $(VENV_READY),,$(if $(PROBLEM),$(REFUSE)))
	@echo "== 1/3 $(if $(VENV_READY),Using $(VENV),Making $(VENV) with $$($(PYTHON) --version))"
	@$(if $(VENV_READY),,$(PYTHON) -m venv --clear $(VENV))
	@echo "== 2/3 Installing the locked packages (about 2 minutes, 6 GB with the CUDA libraries of torch)"
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r requirements-oracles.lock
	@echo "== 3/3 Installing this folder"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@
