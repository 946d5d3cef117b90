# The commands of the project: `make help`. Needs GNU make 4, Python 3.11, a C++ compiler and perl.

# What `make demo` trains; the golden model does the same beside it, and every readout and weight is compared.
DEMO = --data digits --net examples/digits.toml --other -0.25 --learning-rate 0.3 --batch 32 --epochs 4 --seed 0
DEMO_OUT = out/demo

PYTHON ?= python3
# Arguments for pytest, such as `make test ARGS="tests/sw_driver -x"`.
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
EXTRAS := golden,sim,serial,report,data,fl,test,lint,synth,formal
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check install --constraint constraints.txt
# Names what was asked for and where: neither another set of packages nor a moved folder finds an old stamp. It is
# made last, so that a set-up that was broken off leaves none.
STAMP := $(VENV)/ready-$(shell { pwd; cat pyproject.toml setup.py constraints.txt; } | cksum | tr ' ' -)

ifneq ($(filter 0 1 2 3,$(firstword $(subst ., ,$(MAKE_VERSION)))),)
  $(error GNU make 4 or newer is needed, this is $(MAKE_VERSION); on macOS: brew install make, then gmake)
endif

.PHONY: help demo test setup tools lint clean
.DEFAULT_GOAL := help
.SUFFIXES:

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: setup  ## train the simulated chip on 8x8 digits, the golden model beside it, every word compared
	$(BIN)/autapse train --device sim --check golden $(DEMO) --out $(DEMO_OUT) --json $(DEMO_OUT)/result.json

test: setup  ## run the tests
	@command -v iverilog >/dev/null || echo "note: no iverilog; the tests that need Icarus Verilog are skipped"
	@$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

setup: tools $(STAMP)  ## make .venv, with everything that demo and test need

# Before pip runs: what it cannot bring, all that is missing in one go.
tools:
	@missing=; \
	need() { command -v "$$1" >/dev/null || missing="$$missing $$2"; }; \
	need "$${CXX:-g++}" g++; need perl perl; \
	if ! command -v $(PYTHON) >/dev/null; then missing="$$missing python3 python3-venv"; \
	elif ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version); name another one:" \
	    "make setup PYTHON=python3.11" >&2; exit 1; \
	elif ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then missing="$$missing python3-venv"; fi; \
	if [ -n "$$missing" ]; then \
	  echo "missing:$$missing; on Debian or Ubuntu: apt install$$missing" >&2; exit 1; fi

$(STAMP):
	@rm -f $(VENV)/ready-*
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || \
	  { echo "making $(VENV) …"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing PyTorch (about a minute) …"
	@# First and alone: asked for in any other way, pip may choose a build with gigabytes of CUDA.
	@$(PIP) torch==2.13.0
	@echo "installing the rest (about a minute) …"
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --editable '.[$(EXTRAS)]'
	@# Neurons from outside, to compare with: without its own needs, which are another PyTorch and torchvision.
	@$(PIP) --no-deps spikingjelly
	@touch $@
	@echo "ready: $(BIN)/autapse"

lint: setup  ## check style and types
	@$(BIN)/ruff check .
	@# The package as it is installed, in links; see [tool.pyright] in pyproject.toml.
	@rm -rf build/types && mkdir -p build/types/autapse
	@cp -rs "$(CURDIR)"/autapse/. build/types/autapse
	@cp -rs $(addprefix "$(CURDIR)"/,hw gateware boards sw_driver verification) build/types/autapse
	@$(BIN)/pyright

clean:  ## remove what was made here: .venv, build, out, caches
	rm -rf $(VENV) build out .pytest_cache .ruff_cache autapse.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
