# `make` alone prints the commands: the text behind "##".
VENV ?= .venv
PYTHON_IN_VENV = "$(VENV)/bin/python"

.PHONY: help environment report test quick colab reproduce bench gpu check notebooks \
	editions lock say-report

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

report: say-report environment ## run what has changed of the notebooks, write build/report.html and .pdf
	@$(PYTHON_IN_VENV) -m report

# Two tests at a time, those of a file in one process; what measures time runs alone.
SIDE_BY_SIDE = $(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile

test: check report ## lint, build the report, run all tests
	$(SIDE_BY_SIDE) -m "not timing"
	$(PYTHON_IN_VENV) -m pytest -m timing

quick: environment ## run the tests that need no browser, no real data and no long training
	$(SIDE_BY_SIDE) -m "not slow and not browser and not real and not timing"

gpu: environment ## on a graphics card: check, train, measure, into data/bench/gpu.json (DRY=--dry-run)
	REPORT_BENCH="$${REPORT_BENCH:-data/bench}" $(PYTHON_IN_VENV) -m helpers.bench.gpu $(DRY)

check: environment ## lint and format of code and notebooks, types; is all generated up to date?
	$(PYTHON_IN_VENV) -m ruff check
	$(PYTHON_IN_VENV) -m ruff format --check
	$(PYTHON_IN_VENV) -m mypy
	$(PYTHON_IN_VENV) -m report.navigation --check
	$(PYTHON_IN_VENV) -m report.readme --check

colab: environment ## run all notebooks with what Colab has (COLAB_PYTHON=python3.13), and compare
	$(PYTHON_IN_VENV) -m report.replica --python "$${COLAB_PYTHON:-python3.13}"

reproduce: environment ## train again all recorded runs (ONLY=03: those of one notebook) and compare
	$(PYTHON_IN_VENV) -m report.reproduce $(ONLY)

bench: environment ## measure what the chapters say on speed, into build/bench/; print tables
	$(PYTHON_IN_VENV) -m helpers.bench.ways
	$(PYTHON_IN_VENV) -m helpers.bench.fourier
	$(PYTHON_IN_VENV) -m helpers.bench.pipelines
	$(PYTHON_IN_VENV) -m helpers.bench.throughput

notebooks: environment ## run the notebooks in place: their outputs, figures/, finished report, README.md
	$(PYTHON_IN_VENV) -m report.navigation
	$(PYTHON_IN_VENV) -m report --in-place
	$(PYTHON_IN_VENV) -m report.readme

editions: environment ## write the notebooks for courses, with answers and without, into build/editions/
	@$(PYTHON_IN_VENV) -m report.editions

environment: ## only make the environment (VENV=.venv, with PYTHON=python3), as all others do first
	@sh environment.sh "$(VENV)"

lock: environment ## write the newest allowed versions of packages to requirements.lock
	$(PYTHON_IN_VENV) environment.py lock

say-report:
	@echo "Building the report: about 3 minutes on two cores, seconds when nothing has changed" \
		"(the first time the environment is made before, which takes 3 to 10 minutes)."
