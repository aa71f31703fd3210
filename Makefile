# Every command of this project. `make` lists them. Options: PORT HOST MODEL DATA OUT PYTHON TARGETS BUILD.
PYTHON ?= python3
PORT ?= $(or $(VIT_PORT),8000)
HOST ?= $(or $(VIT_HOST),127.0.0.1)
MODEL ?= $(or $(VIT_MODEL),embedded)
OUT ?= runs/model
TARGETS ?= openvino torch
BUILD ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup serve test operations attack parity clients-check check format benchmark train lock base-digest image sbom audit docker k8s-check monitoring-check ray-check clean

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "make %-11s %s\n", $$1, $$2 }'

# The stamps are newer than pyproject.toml once what it asks for is installed.
.venv/runtime: pyproject.toml constraints.txt clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . -e clients/python
	@touch $@

.venv/dev: .venv/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: .venv/dev  ## install everything into .venv

serve: .venv/runtime  ## serve MODEL on HOST:PORT (embedded model, 127.0.0.1:8000)
	exec $(BIN)/vit-serve serve --host '$(HOST)' --port '$(PORT)' --model '$(MODEL)'

test: .venv/dev  ## run the tests
	$(BIN)/python -m pytest

operations: .venv/dev  ## run the tests that take long: load, faults, rollouts, training
	$(BIN)/python -m pytest -m operations --timeout 300

attack: .venv/dev  ## attack a server beside honest clients, and say what it did to them
	$(BIN)/python -m tests.attack

parity: .venv/dev  ## compare with timm, transformers, torchvision; installs them apart
	tests/parity/install.sh $(BIN)/python .venv/parity
	$(BIN)/python -m pytest tests/parity -m parity --timeout 900

clients-check: .venv/dev  ## have other servers' own clients talk to ours; installs them apart
	tests/clients/install.sh $(BIN)/python .venv/clients
	$(BIN)/python -m pytest tests/clients tests/deploy/test_migrate.py -m clients

check: .venv/dev  ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 clients/python/vit_client
	$(BIN)/lint-imports

format: .venv/dev  ## reformat the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: .venv/dev  ## measure throughput, start-up and overload; needs a quiet machine
	$(BIN)/python -m pytest tests/benchmark -m benchmark --timeout 900

train: $(if $(DATA),.venv/runtime)  ## train on DATA, a folder or zip of images, into OUT
	@test -n '$(DATA)' || { echo 'make train DATA=folder-or-zip [OUT=$(OUT)]' >&2; exit 2; }
	$(BIN)/vit-serve train '$(DATA)' --out '$(OUT)'

lock: .venv/dev  ## renew deploy/locks: what the images install, by hash
	$(BIN)/python deploy/locks/renew.py

base-digest:  ## renew the digest of the image that the images stand on
	$(PYTHON) deploy/locks/renew_base.py

image:  ## build TARGETS for this machine; `docker buildx bake` builds all for amd64 and arm64
	@docker info >/dev/null 2>&1 || { echo 'make image needs a Docker engine that answers; Debian: apt install docker.io' >&2; exit 2; }
	for target in $(TARGETS); do docker build --target "$$target" --tag "vit-serve:$$target" $(BUILD) . || exit; done

sbom: .venv/dev  ## list what is in the images, as CycloneDX, in build/sbom
	deploy/locks/sbom.sh $(BIN)/cyclonedx-py build/sbom

# Strictly, as otherwise what the database does not know counts as well. It knows torch-cpu.txt's build by torch-cuda.txt's.
audit: .venv/dev  ## look for known vulnerabilities of what the images install; needs the network
	$(BIN)/pip-audit --strict --disable-pip --require-hashes $(addprefix -r deploy/locks/,build.txt runtime.txt torch.txt torch-cuda.txt)

docker: .venv/dev  ## build the image and test it with a real engine
	$(BIN)/python -m pytest tests/deploy -m docker --timeout 1800

k8s-check: .venv/dev  ## check the manifests, roll them out in real time
	@for program in kubectl promtool haproxy; do command -v $$program >/dev/null || \
	  { echo "k8s-check: $$program is not installed; it needs kubectl (1.27 or newer), promtool and haproxy, and no cluster" >&2; exit 2; }; done
	ROLLOUT_SPEED=1 $(BIN)/python -m pytest tests/deploy/test_kubernetes*.py tests/cli/test_capacity_measure.py -m '' --timeout 300

monitoring-check: .venv/dev  ## check alerts and dashboard with a real Prometheus
	@for program in promtool prometheus; do command -v $$program >/dev/null || \
	  { echo "monitoring-check: $$program is not installed; Debian: apt install prometheus. It needs no Grafana" >&2; exit 2; }; done
	$(BIN)/python -m pytest tests/deploy/test_prometheus.py tests/deploy/test_grafana.py -m ''
	$(BIN)/python -m tests.deploy.loaded

ray-check: .venv/dev  ## run bulk classification and Ray Serve on a local cluster; installs Ray apart
	tests/distributed/install.sh $(BIN)/python .venv/ray
	.venv/ray/bin/python -m pytest tests/distributed -m 'ray and not benchmark'

clean:  ## remove what was installed and cached
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info clients/python/*.egg-info
