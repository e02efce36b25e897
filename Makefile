# The commands of the project. Every target works in a fresh clone, and first sets up missing tools.
# The machine needs git, make, and uv or Python 3.13.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
# sam and uv look for python3.13 on PATH, so the project's own Python comes first.
export PATH := $(BIN):$(CURDIR)/.uv/bin:$(PATH)
ARCHITECTURE ?= x86_64
export ARCHITECTURE
export SAM_CLI_TELEMETRY := 0
# MODEL is the folder of your own model, for build, run and serve. functions/inference/Makefile reads it from the environment.
override export MODEL := $(if $(MODEL),$(abspath $(MODEL)))
override export CANARY := $(if $(CANARY),$(abspath $(CANARY)))
UV := $(or $(wildcard .uv/bin/uv),$(shell command -v uv),.uv/bin/uv)
# Python environments that contain an old path, because the project's folder was renamed or copied.
MOVED := $(sort $(shell for each in $(VENV)/.run $(VENV)/.ready .venv-train/.ready; do \
  if [ -s $$each ] && [ "$$(cat $$each)" != "$(CURDIR)" ]; then echo $${each%/*}/moved; fi; done))
# Let uv show its progress in a terminal only.
QUIET := $(shell [ -t 2 ] || echo --quiet)
OFFLINE := echo "make: packages could not be downloaded: check the network and run this again" >&2; exit 1
TRAINING := HF_HUB_OFFLINE=1 OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0 .venv-train/bin/python
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.13 --no-emit-index-url --custom-compile-command "make lock"

RUN_LOCKS := requirements/run.txt requirements/emulator.txt $(wildcard functions/*/requirements.txt)
# If `make setup` has made the environment, `make run` uses it, because it has all needed packages.
RUNNABLE := $(if $(wildcard $(VENV)/.ready),$(VENV)/.ready,$(VENV)/.run)

.PHONY: help setup run serve kibana test test-full soak outage scale deploy-test lint audit build package drill bench bench-monitor cost train model check-model lock clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(VENV)/.ready ## set up the project's environment in .venv

run: $(RUNNABLE) ## start the stack, send sentences, find their documents in OpenSearch, and stop the stack [MODEL=folder API_PORT= OPENSEARCH_PORT= OPENSEARCH_URL= LOG_TEXT=]
	@python -m local run

serve: $(RUNNABLE) ## run the same stack until Ctrl-C, with a web page: API on 127.0.0.1:3000, OpenSearch on 127.0.0.1:9200 [options of run, PAGE_PORT= KEEP=]
	@python -m local serve

drill: $(RUNNABLE) ## play two weeks of traffic with drifts and a bad deployment into the stack, and print a table of the findings [DATA=folder of texts] [HOLD=1]
	@python -m drill $(if $(DATA),--data "$(DATA)") $(if $(HOLD),--hold)

lint: $(VENV)/.ready ## check code (ruff, mypy), template (cfn-lint), workflows (zizmor, schema), and that the pinned versions are compatible
	@ruff check . && ruff format --check . && mypy && cfn-lint --include-checks I -- template.yaml
	@zizmor --offline --quiet --no-progress --pedantic .github
	@check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	@check-jsonschema --quiet --builtin-schema vendor.renovate renovate.json
	@check-jsonschema --quiet --builtin-schema vendor.compose-spec kibana/compose.yaml
	@$(UV) pip check --quiet --python $(VENV)

audit: $(VENV)/.ready ## write an SBOM of each package into sbom/, and report known vulnerabilities of pinned packages [PIP_AUDIT_VULNERABILITY_SERVICE=osv]
	@python -m audit

kibana: $(RUNNABLE) ## start OpenSearch Dashboards in Docker on 127.0.0.1:5601 for the running stack [OPENSEARCH_PORT= DASHBOARDS_PORT=]
	@docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1 || { \
	  echo "make kibana: Docker with compose is not running here; make serve shows the main panels in the terminal and on a page" >&2; exit 1; }
	@profile=desktop; if [ "$$(uname)" = Linux ] && ! docker info --format '{{.OperatingSystem}}' | grep -q Desktop; then profile=linux; fi; \
	  docker compose -f kibana/compose.yaml --profile $$profile up --detach
	@python -m installer install --opensearch http://127.0.0.1:$(or $(OPENSEARCH_PORT),9200) \
	  --dashboards http://127.0.0.1:$(or $(DASHBOARDS_PORT),5601) --wait 180 \
	  --labels "$(or $(MODEL),functions/inference/model)/card.json"

test: lint build ## check everything that CI checks, and report the coverage of the tests
	@pytest --cov --cov-report=term

test-full: lint build .venv-train/.ready ## run make test and the long tests: fuzzing, and making model folders from three newly trained models [DATA=folder of the corpora]
	@rm -rf .adopted
	@$(TRAINING) -m tests.trained_models --out .adopted/checkpoints $(if $(DATA),--data "$(DATA)")
	@for folder in .adopted/checkpoints/*; do \
	  $(TRAINING) -m training.model --from $$folder/checkpoint --sample $$folder/sample.csv --out .adopted/models/$${folder##*/} --name $${folder##*/}; done
	@ADOPTED=.adopted/models FUZZ_SECONDS=600 pytest -m ""

soak: $(VENV)/.ready ## ship events into a real OpenSearch during random faults, and print how often each event arrived [MINUTES=10] [RATE=200] [SEED=25]
	@python -m soak $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(RATE),--rate "$(RATE)") $(if $(SEED),--seed "$(SEED)")

outage: $(VENV)/.ready ## kill OpenSearch under traffic, and print the backlog of events and the seconds until the backlog is gone, both predicted and measured [RATE=2000] [SECONDS=60]
	@python -m soak.outage $(if $(RATE),--rate "$(RATE)") $(if $(SECONDS),--seconds "$(SECONDS)")

scale: $(VENV)/.ready ## print the resources that 10 to 10,000 events a second need, and for each limit (such as a quota of AWS) the lowest rate that reaches it
	@python -m scale

deploy-test: build ## deploy the whole stack into a local AWS, read it back, update and delete it: make deploy-test [FAKECLOUD=/path/to/fakecloud]
	@python -m tests.deploy

build: $(VENV)/.ready ## build the deployable packages in .aws-sam/build: make build [ARCHITECTURE=arm64] [MODEL=folder] [CANARY=file]
	@sam validate --lint
	@sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	@for folder in .aws-sam/build/*Function; do \
	  echo "$${folder##*/}: $$(( $$(find $$folder -type f -exec cat {} + | wc -c) / 1048576 )) MiB unzipped, for $(ARCHITECTURE)"; done
	@echo; echo "Next: step 2 in docs/deploy.md, section Steps."

package: $(if $(BUCKET),build) ## put the packages into S3, and write a template for CloudFormation or Terraform: make package BUCKET=name [PREFIX=] [OUT=packaged.yaml]
	@test -n "$(BUCKET)" || { echo "make package BUCKET=name: a bucket of yours in the region of the stack" >&2; exit 2; }
	@sam package --s3-bucket "$(BUCKET)" --s3-prefix "$(or $(PREFIX),prediction-monitor)" --no-progressbar --output-template-file "$(or $(OUT),packaged.yaml)"

bench: $(VENV)/.ready $(if $(AGAINST),,build $(if $(QUICK),,.venv-train/.ready)) ## measure the cost of shipping and predicting, compared with other programs [QUICK=1] [AGAINST=commit] [CONSOLE=function.js]
	@python -m bench $(if $(QUICK),--quick) $(if $(AGAINST),--against "$(AGAINST)") $(if $(CONSOLE),--console "$(CONSOLE)")

bench-monitor: $(VENV)/.ready ## measure the monitor's findings and false alarms: make bench-monitor DATA=folder [CACHE=folder] [QUICK=1] [DIAL=1] [ACCURACY=1]
	@test -d "$(DATA)/cola" || { echo "make bench-monitor DATA=folder: the folder of the corpora, with cola/ in it (docs/monitoring.md says where to get the corpora)" >&2; exit 2; }
	@python -m bench.monitor --data "$(DATA)" $(if $(CACHE),--cache "$(CACHE)") $(if $(QUICK),--quick --out /tmp/bench-monitor.json) $(if $(DIAL),--write-dial) $(if $(ACCURACY),--accuracy)

cost: $(VENV)/.ready ## print the stack's monthly cost, in three sizes
	@python -m cost

train: ## train the model again: make train DATA=folder [OUT=folder] [WORK=folder]
	@test -d "$(DATA)/cola" || { echo "make train DATA=folder: the folder of the corpora, with cola/ in it (training/README.md says where to get the corpora)" >&2; exit 2; }
	@$(MAKE) --no-print-directory .venv-train/.ready
	@$(TRAINING) -m training --data "$(DATA)" $(if $(OUT),--out "$(OUT)") $(if $(WORK),--work "$(WORK)")

model: ## make a model folder from your classifier: make model FROM=checkpoint SAMPLE=file [OUT=model] [AGAINST=folder] [OPTIONS="--help"]
	@test -n "$(FROM)" && test -n "$(SAMPLE)" || { echo "make model FROM=folder SAMPLE=file: the folder that save_pretrained wrote, and texts that the model was not trained on (docs/model.md)" >&2; exit 2; }
	@$(MAKE) --no-print-directory .venv-train/.ready
	@$(TRAINING) -m training.model --from "$(FROM)" --sample "$(SAMPLE)" $(if $(OUT),--out "$(OUT)") $(if $(AGAINST),--against "$(AGAINST)") $(OPTIONS)

check-model: $(VENV)/.ready ## check whether a model folder fits the function: make check-model MODEL=folder
	@python -m training.check "$(or $(MODEL),functions/inference/model)"

lock: $(UV) ## update the pinned versions of packages and their hashes
	@$(COMPILE) --upgrade --group uv -o requirements/uv.txt
	@$(COMPILE) --upgrade --group dev functions/*/requirements.in -o requirements/dev.txt
	@for folder in functions/*; do $(COMPILE) --no-deps -c requirements/dev.txt $$folder/requirements.in -o $$folder/requirements.txt; done
	@$(COMPILE) --group run -c requirements/dev.txt -o requirements/run.txt
	@$(COMPILE) --no-deps --group emulator -c requirements/dev.txt -o requirements/emulator.txt
	@$(COMPILE) --upgrade --group train -c requirements/dev.txt -o requirements/train.txt

clean: ## delete environments and builds (not the downloaded OpenSearch in the user's cache folder)
	@rm -rf $(VENV) .venv-train .uv .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis sbom

.PHONY: $(MOVED)
$(MOVED):
	@echo "the folder was renamed or copied after $(@D) was set up: setting it up again"
	@rm -rf $(@D)

# The packages that are needed to run the stack. `make run` in a fresh clone installs only these.
$(VENV)/.run: $(RUN_LOCKS) $(filter $(VENV)/moved,$(MOVED)) | $(UV)
	@echo "setting up $(VENV) (0.3 GB, once) ..."
	$(call install,$(RUN_LOCKS))

$(VENV)/.ready: requirements/dev.txt $(filter $(VENV)/moved,$(MOVED)) | $(UV)
	@echo "setting up $(VENV) (0.9 GB, once) ..."
	$(call install,requirements/dev.txt)

define install
	@test -x $(VENV)/bin/python || $(UV) venv --quiet --clear --python 3.13 $(VENV)
	@$(UV) pip sync $(QUIET) --require-hashes --python $(VENV) $(1) || { $(OFFLINE); }
	@printf '%s\n' "$(CURDIR)" "$(CURDIR)/functions/installer" "$(CURDIR)/functions/monitor" "$(CURDIR)/functions/shipper" > $(VENV)/lib/python3.13/site-packages/prediction-monitor.pth
	@echo "$(CURDIR)" > $@
endef

.venv-train/.ready: requirements/train.txt $(filter .venv-train/moved,$(MOVED)) | $(UV)
	@echo "setting up .venv-train (PyTorch and transformers: about 5 GB, once) ..."
	@test -x .venv-train/bin/python || $(UV) venv --quiet --clear --python 3.13 .venv-train
	@$(UV) pip sync $(QUIET) --require-hashes --python .venv-train requirements/train.txt || { $(OFFLINE); }
	@echo "$(CURDIR)" > $@

# If uv is not installed, install the pinned wheel into a separate environment.
.uv/bin/uv:
	@echo "setting up uv ..."
	@python3.13 -m venv .uv || { echo "make: neither uv nor Python 3.13 can be used: install one of them" >&2; exit 1; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt || { $(OFFLINE); }
