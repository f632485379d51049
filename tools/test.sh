#!/bin/bash
# test.sh [ARG...] - set up, and run the whole test suite by pytest ARG...
# The tests on a real Docker engine need root: an ordinary user's run takes sudo where there is one; else
# they are left out, and the end says so.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

tools/setup.sh test
if [ "$(id -u)" = 0 ] || ! prefix=$(as_root "for the tests on a real Docker engine, in namespaces of its own"); then
    exec .venv/bin/python -m pytest "$@"
fi
code=0
$prefix env PATH="$PATH" CI="${CI:-}" PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-}" PYTHONDONTWRITEBYTECODE=1 \
    .venv/bin/python -m pytest "$@" || code=$?
# caches and coverage data stay this user's
$prefix find . -xdev -user root -exec chown -h "$(id -u):$(id -g)" {} +
exit $code
