# Shortcuts only. What they do is in lib/bootstrap.py, which runs where there is no make: `py lib\bootstrap.py lab`.
PYTHON ?= python3

.PHONY: lab test quick homework

lab:
	@$(PYTHON) lib/bootstrap.py lab

test:
	@$(PYTHON) lib/bootstrap.py test

quick:
	@$(PYTHON) lib/bootstrap.py test -n 2 --dist loadfile -m "not slow"

homework:
	@.venv/bin/python -m metrized.teach release
