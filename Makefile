# Everything here sets itself up: a virtual environment in .venv with the pinned versions of requirements.lock.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types realdata slow browser all lock clean

demo: .venv/ready
	$(BIN)/lungwise demo

# Two processes: most tests keep one core busy. A file stays in one of them, so what it prepares is prepared once.
test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

# The real X-rays are not part of the repository: LUNGWISE_REALDATA names their folder.
realdata: .venv/ready
	$(BIN)/python -m pytest -m realdata

slow: .venv/ready
	$(BIN)/python -m pytest -m slow

# The page in a headless Chromium, which must be installed.
browser: .venv/ready
	$(BIN)/python -m pytest -m browser

all: test lint types

.venv/ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Choose new versions for the lock; needs uv in the environment.
lock: .venv/ready
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --python-version 3.11 --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv demo build dist
