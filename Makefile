# The commands of the book; `make` alone lists them. Everything runs inside .venv, which the first
# command that needs it creates from requirements.lock.
PYTHON ?=
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.installed
CHAPTER ?= notebooks/*.ipynb
PYTEST := $(PY) -m pytest
# One thread in each of two processes, rather than two in each.
TWO := OMP_NUM_THREADS=1
UNIT = $(TWO) $(PYTEST) tests fedlearn_lib fedlearn_book tools --ignore=tests/site -n 2 --dist loadfile
BROWSER = $(TWO) $(PYTEST) tests/site -n 2 --dist worksteal
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=3000 \
	--nbval-sanitize-with tests/nbval_sanitize.cfg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup book run lab test test-fast unit chapters site pdf slides zip wheel lint format images \
	links benchmark lock address clean colab student teacher assignments

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## create .venv from requirements.lock (PYTHON=... chooses the interpreter)

# Each stamp is the last thing its rule writes: an interrupted set-up starts again from nothing.
$(VENV)/.locked: requirements.lock
	@sh tools/make_venv.sh "$(VENV)" "$(PYTHON)"
	$(PY) -m pip install --disable-pip-version-check -r requirements.lock
	@touch $@

# Temml, which typesets the formulas, and reveal.js, which shows the slides, come from npm; node itself is in the
# lock file.
$(VENV)/.mathml: $(VENV)/.locked tools/install_mathml.py tools/mathml/package-lock.json
	$(PY) -m tools.install_mathml
	@touch $@

$(READY): $(VENV)/.locked $(VENV)/.mathml pyproject.toml
	$(PY) -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

book: $(READY) ## build the site into _build/html, warnings as errors
	$(PY) -m tools.build_book

run: $(READY) ## execute every chapter again and store its outputs (CHAPTER=08 chooses one)
	FEDLEARN_FIGURES=static $(PY) -m tools.run_notebooks $(CHAPTER)

lab: $(READY) ## open JupyterLab on the chapters
	$(PY) -m jupyterlab notebooks

test: $(READY) ## everything that proves the project: lint, unit, chapters, site
	$(MAKE) --no-print-directory --jobs=2 lint book
	$(MAKE) --no-print-directory unit
	$(MAKE) --no-print-directory chapters
	$(BROWSER)

test-fast: lint ## for the daily loop: lint, and the unit tests that are not marked slow
	$(UNIT) -m "not slow"

unit: $(READY) ## tests of the library and the repository, and all docstring examples
	$(UNIT)

chapters: $(READY) ## run every notebook and compare its checked outputs
	FEDLEARN_FIGURES=static $(TWO) $(PYTEST) notebooks $(NBVAL) --timeout=400 -n 2 --dist loadfile

site: book ## test the built site in a headless browser
	$(BROWSER)

pdf: book ## print every chapter and the whole book into _build/pdf (CHAPTER=08 chooses one)
	$(PY) -m tools.make_pdf $(filter-out notebooks/*.ipynb,$(CHAPTER))

slides: book ## write every chapter's slides into _build/slides (CHAPTER=08 chooses one)
	$(PY) -m tools.make_slides $(filter-out notebooks/*.ipynb,$(CHAPTER))

zip: book ## pack the site and the notebooks into _build/zip
	$(PY) -m tools.make_zip

colab: $(READY) ## open every chapter as Colab does, each alone (CHAPTER=08 chooses one)
	$(TWO) $(PY) -m tools.run_colab $(filter-out notebooks/*.ipynb,$(CHAPTER)) $(if $(PYTHON),--python "$(PYTHON)")

wheel: $(READY) ## build the library as a wheel in _build/wheel
	rm -rf _build/wheel build
	$(PY) -m pip wheel . --disable-pip-version-check --no-deps --no-build-isolation -w _build/wheel

lint: $(READY) ## ruff and mypy, changing nothing
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(READY) ## let ruff mend what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

images: $(READY) ## draw logo, favicon, social card and covers again
	$(PY) tools/draw_images.py
	$(PY) -m tools.draw_covers
	$(PY) -m tools.draw_openings

student: $(READY) ## the chapters without solutions, as notebooks, into _build/student
	$(PY) -m tools.editions student

teacher: $(READY) ## the chapters with solutions open and notes into _build/teacher
	$(PY) -m tools.editions teacher

assignments: $(READY) ## four graded assignments as a course of nbgrader into _build/assignments
	$(PY) -m tools.assignments

links: $(READY) ## try every link of the book (needs the internet)
	$(VENV)/bin/jupyter-book build . --builder linkcheck

benchmark: $(READY) ## speed, as ratios measured in one run
	$(PYTEST) benchmarks --benchmark-enable --timeout=1200 -s

lock: $(READY) ## renew requirements.lock with the newest versions that pyproject.toml allows
	$(PY) -m tools.lock

address: $(READY) ## URL=https://github.com/owner/name: write the repository's address everywhere
	$(PY) -m tools.address "$(URL)"

clean: ## remove what was built; notebooks and .venv stay
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks ./*.egg-info
	find fedlearn_lib fedlearn_book book tests tools benchmarks notebooks \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
	find notebooks -name '*.part' -delete
