# make book | make test | make lab | make clean. The first call of either makes .venv and installs into it.
PYTHON ?= python3
BIN := .venv/bin
# two processes of one thread each: more threads than cores would only wait for each other
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

.PHONY: book test lab clean

book: .venv/installed
	$(BIN)/sdnet book

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m sdnet_lib.notebooks lint
	$(PYTEST) --ignore tests/browser
	rm -rf _build/smoke && $(BIN)/python -m sdnet_lib.notebooks smoke _build/smoke
	$(PYTEST) --nbval-lax --nbval-current-env _build/smoke
	$(BIN)/pytest tests/browser

lab: .venv/installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python jupyterlab
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf _build

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 10) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --python $(BIN)/python --no-deps -e .
	touch $@
