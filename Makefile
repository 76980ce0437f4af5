# `make demo`, `make lint`, `make test` and `make docs`: each installs what it needs, also on a new machine.
# Python 3.11 to 3.13 and a package index are required, nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SETUP  := pyproject.toml setup.py keras_prune/_version.py

# The build of TensorFlow: the smaller one for the CPU, where there is one.
TENSORFLOW := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),tflite-cpu,tflite)

# Two processes: most of the time goes into compiling small models, which uses one core. The files come in the order of
# tests/conftest.py, not those with the most tests first.
PYTEST ?= -n 2 --dist loadfile --no-loadscope-reorder

export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-tensorflow test-jax test-torch test-floor parity proof proof-hub known-models fuzz lint format bench bench-channels bench-compression bench-autoprune docs clean

demo: $(VENV)/.demo
	KERAS_BACKEND=tensorflow $(BIN)/python examples/mnist_cnn.py

# The whole suite on TensorFlow, which the export needs, then the core path on the other backends.
test: test-tensorflow test-jax test-torch

test-tensorflow: $(VENV)/.test
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest $(PYTEST)

test-jax: $(VENV)/.test
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(PYTEST) -m core

test-torch: $(VENV)/.test
	KERAS_BACKEND=torch $(BIN)/python -m pytest $(PYTEST) -m core

# The core path on the oldest versions that pyproject.toml allows, in an environment of their own.
test-floor: .venv-floor/.floor
	KERAS_BACKEND=tensorflow FLOOR=$(TENSORFLOW) .venv-floor/bin/python -m pytest $(PYTEST) -m core

# The same schedules, masks and predictions as tfmot, which turns tf.keras into Keras 2 for a whole process, so that it
# gets an environment of its own. Without that environment `make test` skips these tests.
parity: $(VENV)/.test .venv-tfmot/.tfmot
	KERAS_BACKEND=tensorflow TFMOT_PYTHON=.venv-tfmot/bin/python $(BIN)/python -m pytest tests/tfmot/test_tfmot_parity.py

# All 40 networks of keras.applications compared with the oracle; writes docs/applications.md. After an interruption:
# `make proof PROOF=--resume`. Some of them: `make proof PROOF="VGG16 ResNet50"`.
proof: $(VENV)/.test
	KERAS_BACKEND=tensorflow $(BIN)/python tools/proof.py $(PROOF)

# Tiny networks of the families of KerasHub likewise; writes docs/keras-hub.md. It takes PROOF, too. KerasHub brings the
# whole TensorFlow, so it gets an environment of its own; without it `make test` skips these tests.
proof-hub: .venv-hub/.hub
	KERAS_BACKEND=tensorflow .venv-hub/bin/python tools/proof_hub.py $(PROOF)

# What can be pruned and what is refused, tried; writes docs/known-models.md.
known-models: $(VENV)/.test
	KERAS_BACKEND=tensorflow $(BIN)/python tools/known_models.py

# Random examples other than those of the suite, and more, of all tests with the mark `fuzz`: graphs against the oracle,
# damaged files, wrong arguments, killed processes. An hour or two. Fewer: `make fuzz EXAMPLES=200`; some of them:
# `make fuzz FUZZ="-k files"`.
fuzz: $(VENV)/.test
	KERAS_BACKEND=tensorflow FUZZ_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest -m fuzz -s $(FUZZ)

# Style, types, who imports whom (pyproject.toml), spelling, and the words of the field (tools/words.txt).
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python tools/check_words.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# tfmot turns tf.keras into Keras 2 for a whole process, so it gets an environment of its own.
bench: $(VENV)/.test .venv-tfmot/.tfmot
	KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/run.py --tfmot_python .venv-tfmot/bin/python

# PyTorch is pinned for its build for processors; Torch-Pruning stands beside it in an environment of its own.
bench-channels: $(VENV)/.test .venv-torch-pruning/.torch-pruning
	KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/run_channels.py --torch_pruning_python .venv-torch-pruning/bin/python

# Deep Compression of two LeNets, from training to the packed file. A file of MNIST: `make bench-compression
# DATA=--data=mnist.npz`; more flags likewise.
bench-compression: $(VENV)/.demo
	KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/deep_compression.py $(DATA)

# `autoprune` beside the same ratio everywhere by hand, on MNIST. Other cases need data: see the script.
bench-autoprune: $(VENV)/.demo
	KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/autoprune_uniform.py $(DATA)

# The pages in site/. A broken link, or a name that is not there, is an error. `-m` lets it find tools/dialect.py.
docs: .venv-docs/.docs
	.venv-docs/bin/python -m zensical build --strict --clean

# Each extra includes those before it: after `make lint`, `make test` and `make demo` have nothing to install.
INCLUDES_demo := demo
INCLUDES_test := demo test
INCLUDES_dev  := demo test dev

$(VENV)/.%: $(SETUP)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e ".[$*,$(TENSORFLOW)]"
	touch $(INCLUDES_$*:%=$(VENV)/.%)

.venv-floor/.floor: $(SETUP) tools/floor.py
	test -x .venv-floor/bin/python || $(PYTHON) -m venv .venv-floor
	.venv-floor/bin/python tools/floor.py $(TENSORFLOW) > .venv-floor/constraints.txt
	.venv-floor/bin/python -m pip install --quiet -e ".[test-floor,$(TENSORFLOW)]" -c .venv-floor/constraints.txt
	touch $@

.venv-tfmot/.tfmot: $(SETUP)
	test -x .venv-tfmot/bin/python || $(PYTHON) -m venv .venv-tfmot
	.venv-tfmot/bin/python -m pip install --quiet ".[tfmot]"
	touch $@

.venv-hub/.hub: $(SETUP)
	test -x .venv-hub/bin/python || $(PYTHON) -m venv .venv-hub
	.venv-hub/bin/python -m pip install --quiet -e ".[hub]"
	touch $@

.venv-torch-pruning/.torch-pruning: $(SETUP)
	test -x .venv-torch-pruning/bin/python || $(PYTHON) -m venv .venv-torch-pruning
	.venv-torch-pruning/bin/python -m pip install --quiet ".[torch-pruning]"
	touch $@

# The extra without the package, which the pages read as source: so neither Keras nor NumPy is needed.
EXTRA = import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"]))

.venv-docs/.docs: $(SETUP)
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -c '$(EXTRA)' | .venv-docs/bin/python -m pip install --quiet -r /dev/stdin
	touch $@

clean:
	rm -rf .venv .venv-docs .venv-floor .venv-hub .venv-tfmot .venv-torch-pruning build site dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
