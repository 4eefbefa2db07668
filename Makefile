# Two commands for newcomers: `make demo` and `make test`. Each makes its own virtual environment, and so does `make docs`.
PYTHON ?= python3

.PHONY: demo test lint files newest docs clean
demo: .venv/ready
	.venv/bin/brevitas-a2q quickstart

.venv/ready: setup.cfg
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet '.[train,report]'
	touch $@

# The tests run against the built wheel, not the source tree, so that a file missing from the wheel is a failed test.
test:
	rm -rf .venv-test .venv-files build dist
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/pip install --quiet build
	.venv-test/bin/python -m build --outdir dist . > dist.log 2>&1 || (cat dist.log; exit 1)
	rm dist.log
	.venv-test/bin/pip install --quiet "$$(ls dist/*.whl)[test]"
	.venv-test/bin/brevitas-a2q --version
	$(MAKE) --no-print-directory -j 2 lint files
	OMP_NUM_THREADS=1 .venv-test/bin/pytest -n auto --dist worksteal --pyargs brevitas_a2q ./tests

# What reads the source, for `test`.
lint:
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports --no-cache

# The half that needs no torch, for `test`: it starts where there is none.
files:
	$(PYTHON) -m venv .venv-files
	.venv-files/bin/pip install --quiet -r requirements-files.txt
	.venv-files/bin/pip install --quiet --no-deps dist/*.whl
	.venv-files/bin/brevitas-a2q parts --json > /dev/null

# Does it still work with Brevitas as it is developed?
newest:
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet '.[test]'
	.venv-newest/bin/pip install --quiet --upgrade 'git+https://github.com/Xilinx/brevitas'
	OMP_NUM_THREADS=1 .venv-newest/bin/pytest -n auto tests/test_brevitas.py tests/quant tests/convert tests/verify tests/export

# The documentation as a site, in docs/_build; open docs/_build/index.html.
docs:
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet '.[docs]'
	.venv-docs/bin/sphinx-build -W --keep-going -q -b html docs docs/_build

clean:
	rm -rf .venv .venv-newest .venv-test .venv-files .venv-docs docs/_build docs/notebooks docs/operators.md build dist *.egg-info
