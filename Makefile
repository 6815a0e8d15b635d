# make demo      generate faces, load them, run the embedded model on faces and photos
# make test      the whole test suite
# make quality   format, lint and type check
# make clean     remove what these made (not .venv; `make distclean` removes that too)
#
# PYTHON: which Python makes .venv. TORCH: what pip installs first as torch (options may follow), e.g.
#   make demo TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
#   make demo TORCH=torch      # the newest, on Linux with CUDA

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGUMENTS ?= -n 2

.PHONY: demo test quality clean distclean

demo: $(VENV)/.installed
	$(BIN)/synthforge generate synthforge --num-samples 64 --shard-size 16
	$(BIN)/synthforge preview synthforge --out preview.png
	$(BIN)/python examples/demo.py

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGUMENTS)

quality: $(VENV)/.installed-quality
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src

clean:
	rm -rf synthforge predictions preview.png build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
	find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no python3 found; install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "make: no virtual environment could be made; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# torch goes first and alone, so that the package's own `torch>=...` finds it satisfied and pip does not fetch a larger build
$(VENV)/.torch: | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	@touch $@

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml | $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-quality: setup.cfg pyproject.toml | $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --editable '.[quality]'
	@touch $@ $(VENV)/.installed
