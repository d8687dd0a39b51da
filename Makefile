# make demo    the main job against the sandbox, in the terminal
# make lab     the same in JupyterLab
# make test    all tests
# make check   what else has to hold: style, types, the package's own files
# make notebooks   runs the notebooks again and saves them with what they show
#
# Everything is built in .venv, and nothing outside this folder is touched: what Python, pip and
# Jupyter keep for a user goes to .home.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
INSTALLED := .venv/.installed

# pip keeps the user's own configuration; all else gets a home of its own
RUN := env HOME="$(CURDIR)/.home" XDG_CACHE_HOME= XDG_CONFIG_HOME= XDG_DATA_HOME= \
	XDG_STATE_HOME= JUPYTER_PLATFORM_DIRS=1 PATH="$(BIN):$(PATH)"

.PHONY: demo lab test notebooks check build benchmarks pictures clean

demo: $(INSTALLED)
	@$(RUN) python tools/demo.py

lab: $(INSTALLED)
	$(RUN) jupyter lab --notebook-dir=notebooks notebooks/01_quickstart.ipynb

test: $(INSTALLED)
	$(RUN) coverage erase
	$(RUN) python -m pytest --cov --cov-report=
	$(RUN) python -m pytest --nbval notebooks --nbval-sanitize-with tests/nbval.cfg
	$(RUN) coverage report

check: $(INSTALLED)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

notebooks: $(INSTALLED)
	$(RUN) python tools/notebooks.py

pictures: $(INSTALLED)
	$(RUN) python tools/screenshots.py

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	PIP_CACHE_DIR="$(CURDIR)/.cache/pip" $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --editable '.[test]'
	@mkdir -p .home
	@touch $@

clean:
	rm -rf .venv .home .cache build dist
