PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/face-strnn
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-all lint clean

demo: $(INSTALLED)
	$(RUN) demo --out demo-run

# A process for every core up to eight, each with one thread; the tests of a file share what they draw and train.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile

test: $(INSTALLED) lint
	$(PYTEST)

test-all: $(INSTALLED) lint
	$(PYTEST) -m ""

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .

clean:
	rm -rf $(VENV) demo-run

$(INSTALLED): requirements.txt pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet -r requirements.txt
	$(VENV)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@
