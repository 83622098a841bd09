# Each target is the command you would type yourself. All of them first make .venv where it is
# missing, and refill it when the pins have changed; give a command's own options as ARGS="…".

.PHONY: demo test conformance bench lint protos baseline requirements clean
.DELETE_ON_ERROR:

PYTHON := .venv/bin/python
PIP := $(PYTHON) -m pip install --quiet --disable-pip-version-check
PROTOS := $(wildcard protos/cordon/v1/*.proto)

demo: .venv/compiled # The main job, end to end, in a site that is thrown away afterwards.
	@.venv/bin/cordon demo $(ARGS)

test: .venv/compiled # Everything that shows it works; a file's tests stay together.
	@$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)

conformance: .venv/compiled # Each requirement, R1 to R32, and the tests that show it is kept.
	@$(PYTHON) -m tests.conformance $(ARGS)

bench: .venv/compiled # Speed, beside the same work done with OpenCV alone.
	@$(PYTHON) -m tests.bench $(ARGS)

lint: .venv/compiled # What CI refuses before it runs a test.
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	.venv/bin/buf lint protos
	.venv/bin/buf format --diff --exit-code protos
	.venv/bin/buf breaking protos --against protos/baseline.binpb

protos: .venv/compiled # The generated code, afresh.
	$(PYTHON) hatch_build.py

# The contract as it was last promised to clients. A committed image rather than a git revision:
# a shallow or fresh clone has no revision to compare with. Renewed with each release, and only
# knowingly before that.
baseline: .venv/compiled
	.venv/bin/buf build protos --exclude-source-info -o protos/baseline.binpb

COMPILE := env -u UV_FIND_LINKS .venv/bin/uv pip compile --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --quiet $(ARGS)
requirements: .venv/compiled # The pins, from pyproject.toml; ARGS=--upgrade takes what is newest.
	$(COMPILE) pyproject.toml --extra dev -o requirements/dev.txt
	for extra in server gpu camera admin demo; do $(COMPILE) pyproject.toml --extra $$extra \
		-c requirements/dev.txt -o requirements/$$extra.txt || exit; done
	$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/client.txt
	echo uv | $(COMPILE) - -c requirements/dev.txt -o requirements/uv.txt

clean: # Everything made here, .venv too.
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find protos -name '*_pb2*.py*' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +

# Made on first use.

.venv/compiled: .venv/filled hatch_build.py $(PROTOS)
	@$(PYTHON) hatch_build.py
	@touch $@

.venv/filled: .venv/pyvenv.cfg pyproject.toml requirements/dev.txt requirements/uv.txt
	@echo "Filling .venv with what requirements/dev.txt pins …"
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m ensurepip >/dev/null
	@$(PIP) --require-hashes -r requirements/uv.txt \
		&& $(PYTHON) -m uv pip sync --quiet --python $(PYTHON) --require-hashes requirements/dev.txt \
		|| { echo "Without uv; pip takes longer."; $(PIP) --require-hashes -r requirements/dev.txt; }
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/pyvenv.cfg:
	@for python in $(BASE_PYTHON) python3 python3.13 python3.12 python3.11; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		"$$python" -m venv --clear .venv && exit; \
		rm -rf .venv; \
		echo "$$python cannot make virtual environments. Debian and Ubuntu: apt install python3-venv"; \
		exit 1; \
	done >&2; \
	echo "Cordon needs Python 3.11 or newer; none was found." \
		"Debian 12 and Ubuntu 24.04 have it: apt install python3-venv" >&2; exit 1
