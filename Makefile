# The two commands: `make demo` and `make test`. Both make `.venv` first; nothing else is needed.
# A Python that was named is used as it is; else `python3`, or the system's of the same version where that is faster.
CHOSEN := $(if $(filter undefined,$(origin PYTHON)),,--chosen)
PYTHON ?= python3
INSTRUCTION ?= touch the blue ball with your left hand
SEED ?= 7
POLICY ?= classical
VENV := .venv
# One worker: real-time tests share two cores with nobody. A worker that the middleware locked up is replaced and its
# test run once more; so is one whose bounded wait ran out, and one that starts nodes (a shared machine stops now and then). Others are not.
PYTEST ?= -n 1 --max-worker-restart 4 --reruns 1 --only-rerun "crashed while running" --only-rerun "waited .* s for"
export PYTHONNOUSERSITE := 1

.PHONY: demo test env env-dev lint docs clean

demo: env
	@$(VENV)/bin/humanoid-twin demo --instruction "$(INSTRUCTION)" --seed $(SEED) --policy "$(POLICY)"

test: env-dev lint
	@$(VENV)/bin/python -m pytest $(PYTEST)

env:
	@$(PYTHON) requirements/install.py $(CHOSEN)

env-dev:
	@$(PYTHON) requirements/install.py --dev $(CHOSEN)

lint: env-dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

docs: env
	@$(VENV)/bin/humanoid-twin topics --write docs/topics.md

clean:
	rm -rf $(VENV) build install log out
