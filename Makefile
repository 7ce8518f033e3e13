# Every target works as the first command on a machine with python3 >= 3.11, go and npm.
UV := deploy/local/uv
RUN := $(UV) run --frozen --all-extras

.PHONY: demo up down check format test test-kind generate bench
demo:      ; $(RUN) goosejobs demo
up:        ; $(RUN) goosejobs up
down:      ; $(RUN) goosejobs down

check:
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) deptry core operator worker deploy/local
	$(RUN) pytest -q -n 2 tests/unit

format:
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

generate:  ; $(RUN) python -m charts.generate
test:      ; $(RUN) python tests/run.py
# For machines with Docker and kind; nobody has run it where this was written.
test-kind: ; $(RUN) python tests/kind.py
bench:     ; $(RUN) python -m bench
