#!/bin/bash
# test.sh [ARG...] - set up, and run the whole test suite by pytest ARG...
# They run side by side, by at most four workers; tests/conftest.py says which belong to one.
# The tests on a real Docker engine need root: an ordinary user's run takes sudo where there is one; else
# they are left out, and the end says so.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

tools/setup.sh test
workers=(-n auto --maxprocesses 4 --dist loadgroup)
if [ "$(id -u)" != 0 ]; then
    if prefix=$(as_root "for the tests on a real Docker engine, in namespaces of its own"); then
        exec $prefix env PATH="$PATH" CI="${CI:-}" PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-}" tools/test.sh "$@"
    fi
    exec .venv/bin/python -m pytest "${workers[@]}" "$@"
fi
code=0
.venv/bin/python -m pytest "${workers[@]}" "$@" || code=$?
give_back
exit $code
