# Task verbs. Each target does its own set-up: a fresh clone needs only Python 3.11 or newer and pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(abspath $(BIN))/python
# ESPnet2 pins packages that the rest does not work with, so it has an environment of its own.
VENV_ESPNET2 ?= .venv-espnet2
RUN_ESPNET2 := $(abspath $(VENV_ESPNET2))/bin/python
WORKERS ?= 2
# A .pth file instead of an import hook: a folder named espnet3 in the working directory does not hide the package.
EDITABLE := --config-settings editable_mode=compat --editable
DIGITS := egs3/mini_digits/asr
CONFIGS := --training_config conf/training.yaml --inference_config conf/inference.yaml \
	--metrics_config conf/metrics.yaml --publication_config conf/publication.yaml

.PHONY: help setup quickstart test test-espnet2 check lint type docs mistakes bench clean

help:
	@echo "make quickstart  train, score and pack a speech recogniser (a few minutes, no download of data)"
	@echo "make test        run the test suite"
	@echo "make check       lint, types, import contracts, spelling, documentation"
	@echo "make setup test-espnet2 lint type docs mistakes bench clean   the parts"

setup: $(VENV)/.dev

# The stamps are written last, so an interrupted installation is repeated.
%/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "espnet3 needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $*
	@touch $@

$(VENV)/.runtime: $(VENV)/.created constraints.txt pyproject.toml
	@echo "installing espnet3 and what it needs into $(VENV) (a few minutes)"
	@$(RUN) -m pip install --quiet --constraint constraints.txt $(EDITABLE) ".[digits]"
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "installing development tools into $(VENV)"
	@$(RUN) -m pip install --quiet --constraint constraints.txt $(EDITABLE) ".[digits,demo,dev,docs]"
	@touch $@

# The compiled part of torchaudio fits one build of torch only; without it torchaudio is pure Python.
$(VENV_ESPNET2)/.espnet2: $(VENV_ESPNET2)/.created constraints-espnet2.txt pyproject.toml
	@echo "installing ESPnet2 and its tests into $(VENV_ESPNET2) (a few minutes)"
	@$(RUN_ESPNET2) -m pip install --quiet --no-deps --requirement constraints-espnet2.txt
	@rm -f $(VENV_ESPNET2)/lib/python*/site-packages/torchaudio/lib/*.so
	@$(RUN_ESPNET2) -m pip install --quiet --no-deps $(EDITABLE) .
	@touch $@

quickstart: $(VENV)/.runtime
	@cd $(DIGITS) && $(RUN) run.py $(CONFIGS) --stages create_dataset train_tokenizer collect_stats \
		train infer measure pack_model report

test: $(VENV)/.dev
	$(RUN) -m pytest -n $(WORKERS)

test-espnet2: $(VENV_ESPNET2)/.espnet2
	$(RUN_ESPNET2) -m pytest tests/espnet2

check: lint type docs

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell

type: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(RUN) -m sphinx -q -W --keep-going -b html docs docs/_build/html

mistakes: $(VENV)/.dev
	ESPNET3_WRITE_MISTAKES=1 $(RUN) -m pytest -q tests/acceptance/test_mistakes.py

bench: $(VENV)/.dev
	@for script in benchmarks/b*.py; do echo "== $$script"; $(RUN) $$script || exit 1; done

clean:
	rm -rf $(VENV) $(VENV_ESPNET2) docs/_build build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
