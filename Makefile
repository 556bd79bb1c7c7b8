# make book | make test | make long | make alone | make lab | make fuzz | make faults | make seeds | make clean. The first call of either makes .venv and installs into it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# two processes of one thread each: more threads than cores would only wait for each other; test files begin in their
# order, not those of few tests last, where one that takes a minute would end alone
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --no-loadscope-reorder
SMOKE := $(BIN)/sdnet book --profile smoke --strict --output _build/test

.PHONY: book test long unit smoke alone fuzz faults seeds browser actionlint lab requirements clean

book: $(VENV)/installed
	$(BIN)/sdnet book

# nbval executes the notebooks in the smoke profile; what it executed becomes the smoke book, at which the browser tests
# look. One process builds it while the other goes on with other tests
test: browser actionlint $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell README.md CONTRIBUTING.md book notebooks sdnet_lib data_scripts tests
	$(BIN)/python -m sdnet_lib.publish.notebooks lint
	rm -rf _build/smoke && $(BIN)/python -m sdnet_lib.publish.notebooks smoke _build/smoke
	$(PYTEST) --dist loadfile --nbval-lax --nbval-current-env -p tests.publish.keep_executed \
		-m "not long" _build/smoke tests

unit: $(VENV)/installed
	$(PYTEST) --dist loadfile -m "not long" tests --ignore tests/browser

# what takes its time and seldom breaks: kills, a lost machine of a cluster, budgets against counted operations, bench,
# the weight and the access of every page
long: browser $(VENV)/installed
	$(PYTEST) --dist loadfile -m long tests

smoke: $(VENV)/installed
	$(SMOKE)

# each plain notebook alone, as on Colab: from the wheel, with the oldest packages that it allows; RESOLUTION=highest
# takes the newest, CONSTRAINTS=FILE the versions in a file
RESOLUTION ?= lowest-direct
CONSTRAINTS ?= /dev/null
ALONE := _build/alone/bin/python
alone: $(VENV)/installed
	rm -rf _build/alone _build/wheel && $(BIN)/uv build --quiet --out-dir _build/wheel
	$(BIN)/uv venv --quiet --python $(BIN)/python _build/alone
	$(BIN)/uv pip install --quiet --python $(ALONE) --resolution $(RESOLUTION) -c $(CONSTRAINTS) -r pyproject.toml
	$(BIN)/uv pip install --quiet --python $(ALONE) --no-deps _build/wheel/*.whl
	$(BIN)/uv pip install --quiet --python $(ALONE) -c $(CONSTRAINTS) ipykernel pip
	$(BIN)/python -m tests.publish.alone $(ALONE)

fuzz: $(VENV)/installed
	$(BIN)/python -m tests.data.fuzz 100000

faults: $(VENV)/installed
	$(BIN)/python -m tests.faults.kill
	$(BIN)/python -m tests.faults.damage

# do the chapters say the same with other seeds? Of seed 0 what `make book` has run is not run again
SEEDS ?= 0 1 2 3
seeds: $(VENV)/installed
	$(BIN)/python -m tests.publish.seeds --seeds $(SEEDS)

browser: | $(BIN)/uv
	$(BIN)/python tests/browser/bring.py $(BIN)/uv

actionlint: | $(BIN)/uv
	$(BIN)/python tests/repo/bring_actionlint.py $(BIN)/uv $(VENV)/actionlint

lab: $(VENV)/installed
	$(BIN)/jupyter lab notebooks

# first for the oldest Python alone, then for all with these versions: wherever it can be, all get the same
requirements: | $(BIN)/uv
	mkdir -p _build && cp requirements.txt _build/oldest.txt
	$(BIN)/uv pip compile --quiet --python-version 3.10 --all-extras pyproject.toml -o _build/oldest.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --all-extras --no-annotate --no-header \
		-c _build/oldest.txt pyproject.toml -o requirements.txt

clean:
	rm -rf _build

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info < (3, 14) else "Python 3.10 to 3.13 is needed: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

$(VENV)/installed: requirements.txt pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --python $(BIN)/python --no-deps -e .
	touch $@
