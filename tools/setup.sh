#!/bin/bash
# setup.sh python|demo|test - make this checkout ready; quick and silent when it is.
#   python  .venv with the packages of pyproject.toml
#   demo    and nginx, which must be there
#   test    and what the live tests need; goes on without what it may not install
# Debian packages are installed by apt as root or by sudo, Python packages into .venv only, and so is the
# program consul, which only Debian 11 has.
# Exit code 2: something is missing, and was said.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

part=${1:-test}
stamp=.venv/.ready

# The oldest Python that pyproject.toml allows; the newest that we test with last.
find_python() {
    local name
    for name in python3 python3.11 python3.12 python3.13; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    die "Python 3.11 or later is missing: found $(python3 --version 2>&1 || true) (Debian 12: apt-get install python3)"
}

# What .venv was made for: its programs hold the path, its packages are those of pyproject.toml.
fingerprint() { pwd; cksum pyproject.toml; }
ready() { [ "$(cat $stamp 2>/dev/null)" = "$(fingerprint)" ] && .venv/bin/python -c '' 2>/dev/null; }
# Good for new packages: neither moved nor without its Python.
sound() { [ "$(head -n 1 $stamp 2>/dev/null)" = "$PWD" ] && .venv/bin/python -m pip --version >/dev/null 2>&1; }

# Prints the Debian packages that are missing, one a line.
missing_packages() {
    if ! ready && ! sound && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))'
    fi
    [ "$part" != python ] || return 0
    command -v nginx >/dev/null || echo nginx
    [ "$part" = test ] || return 0
    command -v openssl >/dev/null || echo openssl
    command -v ignition-validate >/dev/null || echo ignition
    tests/lab/dockerlab.sh missing
    tests/lab/systemdlab.sh missing
}

install_packages() {    # install_packages PACKAGE...
    local prefix package required=() command="apt-get install --no-install-recommends $*"
    if command -v apt-get >/dev/null && prefix=$(as_root "to install $*"); then
        say "installing $*"
        $prefix tools/apt-install.sh "$@" || die "could not install $* (as root: apt-get update; $command)"
        return
    fi
    for package; do
        # without the others a part of the tests cannot run, and each says so
        if [ "$part" = demo ] || [[ $package = *-venv ]]; then required+=("$package"); fi
    done
    [ ${#required[@]} = 0 ] || die "missing: ${required[*]} (as root: $command)"
    say "going on without $* (as root: $command)"
}

make_venv() {
    if ! sound; then
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    say "installing Python packages into .venv (about a minute the first time)"
    # below 25.1 pip knows no dependency groups
    pip --upgrade 'pip>=25.1'
    pip --editable . --group dev
    fingerprint >$stamp
    give_back
}
get_consul() {
    [ ! -x .venv/bin/consul ] || return 0
    say "getting consul into .venv (a few seconds)"
    tests/lab/consul.sh .venv/bin || say "going on without consul: what tests it on a real one will not run"
    give_back
}
pip() { .venv/bin/python -m pip install -qq --disable-pip-version-check "$@" || die "pip could not install $*"; }

case $part in python|demo|test) ;; *) die "takes python, demo or test, not '$part'" ;; esac
python=$(find_python)
mapfile -t missing < <(missing_packages | sort -u)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
ready || make_venv
[ "$part" != test ] || get_consul
