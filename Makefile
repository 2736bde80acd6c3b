# make demo    train and score a small network on the embedded data, from nothing
# make test    the tests, but for those of faults
# make faults  processes actually killed, stopped, or fed bad data; several workers
# make lint    ruff and mypy
# make experiments-quick  the smallest form of every experiment on the paper's claims
# make bench   every benchmark, against peers where they are installed
# make data    prepare the embedded data set
# make clean   remove the environment and what builds and tools leave behind
#
# Every target that needs it first makes an environment in .venv (VENV=... elsewhere).

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
RUN = $(VENV)/bin/python
# Two processes of tests at once, each file in one of them: building networks keeps one core busy.
PYTEST = $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

BENCHMARKS = input growth training convolutions overhead save resume crops serving serve predict gpu gpu_tensorflow

.PHONY: demo test faults lint bench experiments-quick data clean

demo: data
	$(RUN) train.py --preset=demo
	$(RUN) eval.py --model_dir=runs/demo
	@echo "next: $(RUN) train.py --preset=demo --epochs=24 --model_dir=runs/longer"
	@echo "      $(RUN) -m inception_tf export --model_dir=runs/demo --export_dir=exports/shapes/1"
	@echo "      $(RUN) -m inception_tf predict docs/ring.jpg --model=exports/shapes/1"

data: $(VENV)/ready
	$(RUN) -m inception_tf prepare --dataset=shapes

test: $(VENV)/ready
	$(PYTEST) -m "not faults"

# FAULTS: files of them; default all.
faults: $(VENV)/ready
	rm -f faults.json
	$(PYTEST) $(FAULTS) -m faults --fault-results=faults.json

lint: $(VENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m mypy

EXPERIMENTS = residual_speedup averaging crops optimizer residual_scaling

# They share the runs of the first.
experiments-quick: data
	@set -e; for name in $(EXPERIMENTS); do echo "experiment $$name"; \
	$(RUN) -m experiments.$$name --quick; done

# One that fails is told at the end; the others are measured.
bench: $(VENV)/ready
	@failed=; for name in $(BENCHMARKS); do echo "benchmark $$name"; \
	$(RUN) -m benchmarks.$$name || failed="$$failed $$name"; done; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# Made again when a requirement changes; the stamp is written last, so an installation
# that broke off is started again.
$(VENV)/ready: requirements.txt setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 found: make PYTHON=/path/to/it"; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[test,lint]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
