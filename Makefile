# `make test` and `make demo` install the project into .venv as a user would, and again when a source has changed.
VENV := .venv
PYTHON ?= python3
# A file's tests share what is slow to make, so a file stays with one of the two processes.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
BENCHMARKS ?= start_up loss loading one_model passes preprocessing export_many_tasks training_step scale modality
# data sets 301 to 304 in nnU-Net's raw format, and where to work
ACCURACY_SOURCE ?= ../shared/data/raw
ACCURACY_FOLDER ?= accuracy
LONG_FOLDER ?= long
ADDITIONS_FOLDER ?= additions
PIP := $(VENV)/bin/python -m pip --quiet --disable-pip-version-check
# nnU-Net's own commands, called by tests and demo, lie there
WITH_COMMANDS := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
# folders too: their time of change tells of deleted modules
SOURCES := setup.py pyproject.toml $(shell find hermes_nnunet trainers planners dataset_converters \
	-name __pycache__ -prune -o -print)

.PHONY: test quick lint types format docs demo bench accuracy everything long overfitting missing additions campaign clean

test: $(VENV)/installed
	$(WITH_COMMANDS) HERMES_TEST_INSTALLED=1 OMP_NUM_THREADS=1 $(VENV)/bin/pytest --durations=15 $(PYTEST_ARGS) $(SELECTED)

# what a developer runs all day: everything but trainings as nnU-Net's commands and by processes that talk to each other,
# and what takes seconds for one answer
quick: SELECTED := -m "not end_to_end and not distributed and not slow"
quick: test

demo: $(VENV)/installed
	$(WITH_COMMANDS) hermes_nnunet demo

# one after another: two at a time would measure each other
bench: $(VENV)/installed
	for question in $(BENCHMARKS); do $(WITH_COMMANDS) $(VENV)/bin/python benchmarks/$$question.py || exit 1; done

# hours; a killed one goes on where it was
accuracy: $(VENV)/installed
	$(WITH_COMMANDS) $(VENV)/bin/python benchmarks/accuracy.py $(ACCURACY_SOURCE) $(ACCURACY_FOLDER) $(ACCURACY_ARGS)

# hours too: is one model right about everything at once
everything: $(VENV)/installed
	$(WITH_COMMANDS) $(VENV)/bin/python benchmarks/everything.py $(ACCURACY_SOURCE) $(ACCURACY_FOLDER) $(EVERYTHING_ARGS)

# hours too: the comparison at 6 mm, where trainings can be long
long: $(VENV)/installed
	$(WITH_COMMANDS) $(VENV)/bin/python benchmarks/long_training.py $(ACCURACY_SOURCE) $(LONG_FOLDER) $(LONG_ARGS)

# hours too: its trainings of n = 5,000, and what they make of their training cases
overfitting: $(VENV)/installed
	$(WITH_COMMANDS) $(VENV)/bin/python benchmarks/overfitting.py $(ACCURACY_SOURCE) $(LONG_FOLDER) --batches 5000 $(LONG_ARGS)

# hours too: labels that are missing case by case, images without labels, and images of which nobody says the modality
missing: $(VENV)/installed
	$(WITH_COMMANDS) $(VENV)/bin/python benchmarks/hidden_labels.py $(ACCURACY_SOURCE) $(ACCURACY_FOLDER) $(MISSING_ARGS)
	$(WITH_COMMANDS) $(VENV)/bin/python benchmarks/unlabelled_cases.py $(ACCURACY_SOURCE) $(ACCURACY_FOLDER) $(MISSING_ARGS)
	$(WITH_COMMANDS) $(VENV)/bin/python benchmarks/unknown_modality.py $(ACCURACY_SOURCE) $(ACCURACY_FOLDER) $(MISSING_ARGS)

# hours too: what is added to a trained model, against models of its own, and what becomes of old tasks
additions: $(VENV)/installed
	$(WITH_COMMANDS) $(VENV)/bin/python benchmarks/additions.py $(ACCURACY_SOURCE) $(ADDITIONS_FOLDER) --size "6 mm" $(ADDITIONS_ARGS)

# hours: every command interrupted everywhere, thousands of damaged files, hostile names and models; a stopped one goes on
campaign: $(VENV)/installed
	$(WITH_COMMANDS) OMP_NUM_THREADS=1 $(VENV)/bin/python tests/campaign $(CAMPAIGN_ARGS)

lint: types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	PYTHONPATH=. $(VENV)/bin/lint-imports

types: $(VENV)/linters
	$(VENV)/bin/mypy

format: $(VENV)/linters
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build

clean:
	rm -rf $(VENV) build site hermes_nnunet.egg-info

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(SOURCES) | $(VENV)/bin/pip
	$(PIP) install ".[test]"
	touch $@

# pip knows groups since 25.1
$(VENV)/linters: pyproject.toml | $(VENV)/bin/pip
	$(PIP) install --upgrade "pip>=25.1"
	$(PIP) install --group lint
	touch $@
