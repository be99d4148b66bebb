# Every command makes the environment first, once.
#   make report      execute all notebooks, write build/report.html and build/report.pdf
#   make test        lint, build the report, run all tests
#   make reproduce   train again all runs that the notebooks rest on (ONLY=03: that
#                    notebook's) into build/reproduced/, and compare with the recorded ones
#   make bench       measure the ways to compute a convolution, and training; print tables
#   make check       lint and format check of code and notebooks
#   make notebooks   execute the notebooks in place: refreshes their outputs, figures/, the
#                    report in report/ and the results in README.md
VENV ?= .venv
PYTHON_IN_VENV = $(VENV)/bin/python

.PHONY: report test reproduce bench check notebooks

report: $(VENV)/installed
	$(PYTHON_IN_VENV) -m report

test: check report
	$(PYTHON_IN_VENV) -m pytest

reproduce: $(VENV)/installed
	$(PYTHON_IN_VENV) -m report.reproduce $(ONLY)

bench: $(VENV)/installed
	$(PYTHON_IN_VENV) -m helpers.cost
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
