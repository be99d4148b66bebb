# Every command makes the environment first, once.
#   make report      execute all notebooks, write build/report.html and build/report.pdf
#   make test        lint, build the report, run all tests
#   make quick       run the tests that need no browser, no real data and no long training
#   make reproduce   train again all runs that the notebooks rest on (ONLY=03: that
#                    notebook's) into build/reproduced/, and compare with the recorded ones
#   make bench       measure what the chapters say on speed, and training, into build/bench/
#                    (REPORT_BENCH names another folder), and print tables
#   make check       lint and format check of code and notebooks
#   make notebooks   execute the notebooks in place: refreshes their outputs, figures/, the
#                    report in report/ and the results in README.md
VENV ?= .venv
PYTHON_IN_VENV = $(VENV)/bin/python

.PHONY: report test quick reproduce bench check notebooks

report: $(VENV)/installed
	$(PYTHON_IN_VENV) -m report

# Two tests at a time, those of a file in one process; what measures time runs alone.
SIDE_BY_SIDE = $(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile

test: check report
	$(SIDE_BY_SIDE) -m "not timing"
	$(PYTHON_IN_VENV) -m pytest -m timing

quick: $(VENV)/installed
	$(SIDE_BY_SIDE) -m "not slow and not browser and not real and not timing"

reproduce: $(VENV)/installed
	$(PYTHON_IN_VENV) -m report.reproduce $(ONLY)

bench: $(VENV)/installed
	$(PYTHON_IN_VENV) -m helpers.bench.ways
	$(PYTHON_IN_VENV) -m helpers.bench.pipelines
	$(PYTHON_IN_VENV) -m helpers.training.throughput

check: $(VENV)/installed
	$(PYTHON_IN_VENV) -m ruff check
	$(PYTHON_IN_VENV) -m ruff format --check
	$(PYTHON_IN_VENV) -m report.navigation --check
	$(PYTHON_IN_VENV) -m report.readme --check

notebooks: $(VENV)/installed
	$(PYTHON_IN_VENV) -m report.navigation
	$(PYTHON_IN_VENV) -m report --in-place
	$(PYTHON_IN_VENV) -m report.readme

$(VENV)/installed: requirements.txt environment.sh
	sh environment.sh $(VENV)
