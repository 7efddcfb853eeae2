# `make demo` and `make test` work on a fresh machine; `make help` lists all.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
CODE := swin_dense tools tests $(wildcard docs/*.py projects/*/*.py)

.PHONY: help setup demo demo-web demo-seg demo-video docs test test-newest lint \
	format audit clean

help:
	@echo 'make demo    generate data, train, test and draw a small Cascade'
	@echo 'make demo-web  the same, then its detector in the browser'
	@echo 'make demo-seg  the same for semantic segmentation, a small UPerNet'
	@echo 'make demo-video  the same for clips, a small Video Swin'
	@echo 'make docs    build the documentation site'
	@echo 'make test    lint, then the test suite'
	@echo 'make test-newest  the suite with the newest of everything'
	@echo 'make lint    style, types, spelling, docstrings'
	@echo 'make format  rewrite the sources in the house style'
	@echo 'make audit   known vulnerabilities of what constraints.txt pins'

# The stamp makes pip run again only when what it reads has changed.
setup: $(VENV)/.installed
$(VENV)/.installed: setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet \
		-c constraints.txt -e '.[all,dev,docs]'
	$(BIN)/pip install --disable-pip-version-check --quiet \
		-c constraints.txt --no-deps mmaction2 mmpretrain timm
	touch $@

demo: setup
	$(BIN)/python tools/demo.py

demo-web: setup
	$(BIN)/python tools/demo.py --web

demo-seg: setup
	$(BIN)/python tools/demo.py --config configs/upernet_swin_nano_shapes.py \
		--work-dir work_dirs/demo_seg

demo-video: setup
	$(BIN)/python tools/demo.py --config configs/video_swin_nano_shapes.py \
		--work-dir work_dirs/demo_video

# Python 3.11 or newer.
docs: setup
	$(BIN)/python docs/build.py

test: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# In an environment of its own for each Python: no constraints but
# NEWEST_TORCH, torchvision beside torch, and a training of every kind.
NEWEST_PYTHON ?= $(PYTHON)
NEWEST_TORCH ?= torch torchvision
NEWEST := $(VENV)/newest-$(notdir $(NEWEST_PYTHON))
NEWEST_PIP := $(NEWEST)/bin/pip install --disable-pip-version-check --quiet \
	--upgrade
test-newest:
	test -x $(NEWEST)/bin/python || $(NEWEST_PYTHON) -m venv $(NEWEST)
	$(NEWEST_PIP) --upgrade-strategy eager $(NEWEST_TORCH) -e '.[all,dev]'
	$(NEWEST_PIP) --no-deps mmaction2 mmpretrain timm
	$(NEWEST)/bin/python --version
	$(NEWEST)/bin/pip freeze --exclude-editable
	$(NEWEST)/bin/python -m pytest -n $(JOBS) --dist worksteal
	$(NEWEST)/bin/python -m pytest -n $(JOBS) --run-slow \
		tests/test_commands/test_recipe_kinds.py

lint: setup
	$(BIN)/ruff check --quiet $(CODE)
	$(BIN)/ruff format --check --quiet $(CODE)
	$(BIN)/codespell $(CODE) configs docs README.md
	$(BIN)/interrogate --quiet swin_dense
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --quiet --select I --fix $(CODE)
	$(BIN)/ruff format --quiet $(CODE)

# In an environment of its own; asks the advisory database of PyPI.
audit:
	test -x $(VENV)/audit/bin/python || $(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --disable-pip-version-check --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip \
		-r constraints.txt

clean:
	rm -rf $(VENV) work_dirs/demo work_dirs/demo_seg work_dirs/demo_video
