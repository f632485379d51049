# `make` alone says what there is. Each target sets up what it needs, and is quick when that is there.

export PATH := $(PATH):/usr/sbin:/sbin
SCRIPTS := .ci/run deploy/coreos/announce $(wildcard tools/*.sh tests/lab/*.sh)

.PHONY: help setup demo test test-coreos check gates lint format types layers shell scan tidy bench bench-short clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup:          ## everything that the other targets need
	@tools/setup.sh test

demo:           ## the main job on a private etcd and nginx, until Ctrl-C (DEMO_SECONDS=N ends it)
	@tools/setup.sh demo
	@.venv/bin/python -m demo

test:           ## the whole test suite (ARGS="-k docker" for a part of it)
	@tools/test.sh $(ARGS)

QUADLET := podman,crun,netavark,aardvark-dns,nftables,catatonit
test-coreos: export SYSTEMDLAB_SUITE := trixie
test-coreos: export SYSTEMDLAB_PACKAGES := python3,procps,iproute2,curl,nginx-light,$(QUADLET)
test-coreos:    ## the units on systemd 257 and under podman's Quadlet (the first time a download of 100 MB)
	@tools/test.sh -n0 tests/live/test_systemd.py tests/live/test_coreos.py $(ARGS)

check: gates    ## what CI runs: the gates, and the tests with their coverage
	@tools/test.sh --cov $(ARGS)

gates: lint format types layers shell scan  ## all static checks
lint format types layers shell scan tidy: .venv
lint:           ## ruff's rules
	.venv/bin/ruff check .
format:         ## ruff's formatter, without changing anything
	.venv/bin/ruff format --check .
types:          ## strict mypy
	.venv/bin/mypy
layers:         ## who may import whom
	.venv/bin/lint-imports
shell:          ## shellcheck
	.venv/bin/shellcheck $(SCRIPTS)
scan:           ## gixy, over what nginx is given: no finding without an explanation
	.venv/bin/python -m tests.golden.scan

tidy:           ## format, and mend what ruff can mend
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

bench:          ## speed and memory against nginx told directly: a table, and bench.json
	@tools/setup.sh demo
	@.venv/bin/python -m bench

bench-short:    ## the same in a minute, for CI
	@tools/setup.sh demo
	@.venv/bin/python -m bench --short

clean:          ## remove what the targets have made, but for .venv
	rm -rf build dist *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.PHONY: .venv
.venv:
	@tools/setup.sh python
