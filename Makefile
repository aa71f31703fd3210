# Every command of this project. `make` lists them. Options: PORT HOST MODEL DATA OUT PYTHON.
PYTHON ?= python3
PORT ?= $(or $(VIT_PORT),8000)
HOST ?= $(or $(VIT_HOST),127.0.0.1)
MODEL ?= $(or $(VIT_MODEL),embedded)
OUT ?= runs/model
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup serve test attack parity check format benchmark train docker clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

# The stamps are newer than pyproject.toml once what it asks for is installed.
.venv/runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: .venv/dev  ## install everything into .venv

serve: .venv/runtime  ## serve MODEL on HOST:PORT (embedded model, 127.0.0.1:8000)
	exec $(BIN)/vit-serve serve --host '$(HOST)' --port '$(PORT)' --model '$(MODEL)'

test: .venv/dev  ## run the tests
	$(BIN)/python -m pytest

attack: .venv/dev  ## attack a server beside honest clients, and say what it did to them
	$(BIN)/python -m tests.attack

parity: .venv/dev  ## compare with timm, transformers, torchvision; installs them apart
	tests/parity/install.sh $(BIN)/python .venv/parity
	$(BIN)/python -m pytest tests/parity -m parity --timeout 900

check: .venv/dev  ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev  ## reformat the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: .venv/dev  ## measure throughput, start-up and overload; needs a quiet machine
	$(BIN)/python -m pytest tests/benchmark -m benchmark --timeout 900

train: $(if $(DATA),.venv/runtime)  ## train on DATA, a folder or zip of images, into OUT
	@test -n '$(DATA)' || { echo 'make train DATA=folder-or-zip [OUT=$(OUT)]' >&2; exit 2; }
	$(BIN)/vit-serve train '$(DATA)' --out '$(OUT)'

docker: .venv/dev  ## build the image and test it with a real engine
	$(BIN)/python -m pytest tests/deploy -m docker --timeout 1800

clean:  ## remove what was installed and cached
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
