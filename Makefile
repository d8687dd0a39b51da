# make demo    the main job against the sandbox, in the terminal
# make lab     the same in JupyterLab; make lab PORT=9000 on another port
# make test    all tests
# make test-fast   those without a browser, Binder, the notebooks and long runs, in two minutes
# make check   what else has to hold: style, types, imports, the package that is built
# make oldest  the tests without a browser on the oldest Python and packages that are supported
# make pandas  what makes a DataFrame, on the earlier versions of pandas that are supported
# make docs    the reference, from the tables of the package
# make notebooks   runs the notebooks again and saves them with what they show
#
# Everything is built in .venv, and nothing outside this folder is touched: what Python, pip and
# Jupyter keep for a user goes to .home.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
INSTALLED := .venv/.installed

# pip keeps the user's own configuration, all else gets a home of its own; pip also asks rustc for
# its version, which makes a folder where there is rustup. Kernels and pytest's workers load what
# Python has compiled before, instead of compiling it each time.
RUN := env HOME="$(CURDIR)/.home" XDG_CACHE_HOME= XDG_CONFIG_HOME= XDG_DATA_HOME= \
	XDG_STATE_HOME= JUPYTER_PLATFORM_DIRS=1 PYTHONDONTWRITEBYTECODE= PATH="$(BIN):$(PATH)"

.PHONY: demo lab test test-fast notebooks check package oldest pandas docs benchmarks pictures clean

demo: $(INSTALLED)
	@$(RUN) python tools/demo.py

# JupyterLab refuses to run as root, as one does in a container, unless it is allowed to
LAB_OPTIONS := $(if $(filter 0,$(shell id -u)),--allow-root) $(if $(PORT),--port=$(PORT))

lab: $(INSTALLED)
	$(RUN) jupyter lab $(LAB_OPTIONS) --notebook-dir=notebooks notebooks/01_quickstart.ipynb

# tests are independent of each other: more of them at once than there are cores, as many wait
PYTEST := python -m pytest --numprocesses 3 --dist loadgroup

test: $(INSTALLED)
	$(RUN) coverage erase
	$(RUN) $(PYTEST) --cov --cov-report=
	$(RUN) PYTHONPATH="$(CURDIR)/tests" python -m pytest --numprocesses 2 --dist loadfile \
		-p calm_kernels --nbval notebooks --nbval-sanitize-with tests/nbval.cfg
	$(RUN) coverage report

test-fast: $(INSTALLED)
	$(RUN) $(PYTEST) --numprocesses 5 -p no:nbval --hypothesis-profile quick \
		-m "not browser and not binder and not slow"

check: $(INSTALLED)
	$(RUN) lint-imports --no-cache --no-logo
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(MAKE) frontend
	$(MAKE) package

# eslint, and tsc on the types in the comments; npm keeps the user's own configuration, as pip does
frontend:
	@if command -v npm >/dev/null; then \
		export npm_config_cache="$(CURDIR)/.cache/npm" npm_config_update_notifier=false; \
		npm install --no-package-lock --no-audit --no-fund --loglevel=error && \
		npm run --silent check; \
	else echo "The front end of the form was not checked: there is no npm (Node.js)"; fi

notebooks: $(INSTALLED)
	$(RUN) python tools/notebooks.py

# as when it is installed here, pip keeps the user's own configuration
package: $(INSTALLED)
	PIP_CACHE_DIR="$(CURDIR)/.cache/pip" PIP_DISABLE_PIP_VERSION_CHECK=1 \
		$(BIN)/python tools/package.py

OLDEST := .cache/oldest
OLDEST_PYTHON ?= $(shell python3.10 -c 'import sys; print(sys.executable)' 2>/dev/null || echo $(PYTHON))

oldest: $(OLDEST)/.installed
	$(RUN) $(OLDEST)/bin/python -m pytest -m "not browser and not binder" -p no:cacheprovider

# a pip of today, as the one that old Pythons bring can't tell what is in conflict
$(OLDEST)/.installed: pyproject.toml tests/constraints-oldest.txt
	$(OLDEST_PYTHON) -m venv --clear $(OLDEST)
	PIP_CACHE_DIR="$(CURDIR)/.cache/pip" $(OLDEST)/bin/python -m pip install --quiet \
		--disable-pip-version-check --upgrade pip
	PIP_CACHE_DIR="$(CURDIR)/.cache/pip" $(OLDEST)/bin/python -m pip install --quiet \
		--constraint tests/constraints-oldest.txt --editable '.[test]'
	@touch $@

# Only pandas is another: it lies before that of .venv on the path, with a NumPy of its time.
PANDAS := 2.2 2.3
PANDAS_TESTS := tests/test_routine_pandas.py tests/test_object_columns.py tests/test_frames.py

pandas: $(PANDAS:%=pandas-%)

pandas-%: .cache/pandas-%/.installed
	$(RUN) PYTHONPATH="$(CURDIR)/.cache/pandas-$*" python -c \
		"import pandas; assert pandas.__version__.startswith('$*.'), pandas.__version__"
	$(RUN) PYTHONPATH="$(CURDIR)/.cache/pandas-$*" $(PYTEST) -p no:cacheprovider $(PANDAS_TESTS)

.cache/pandas-%/.installed: $(INSTALLED)
	@rm -rf .cache/pandas-$*
	PIP_CACHE_DIR="$(CURDIR)/.cache/pip" $(BIN)/python -m pip install --quiet --no-deps \
		--disable-pip-version-check --target .cache/pandas-$* "pandas==$*.*" "numpy==2.2.*"
	@touch $@

# kept between runs
.PRECIOUS: .cache/pandas-%/.installed

docs: $(INSTALLED)
	$(RUN) python tools/reference.py

pictures: $(INSTALLED)
	$(RUN) python tools/screenshots.py

$(INSTALLED): pyproject.toml
	@echo "Installing the package and what its notebooks and tests need into .venv: a minute or two, once"
	@$(PYTHON) -m venv .venv
	@PIP_CACHE_DIR="$(CURDIR)/.cache/pip" RUSTUP_HOME="$(CURDIR)/.home/rustup" $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --editable '.[test]'
	@mkdir -p .home
	@touch $@

clean:
	rm -rf .venv .home .cache dist node_modules
