# shellcheck shell=bash
# lib.sh - what setup.sh and test.sh share. Source it; it changes to the top of the checkout.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
export PATH=$PATH:/usr/sbin:/sbin       # where Debian keeps nginx and ip; not on the path of ordinary users

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 2; }

# as_root PURPOSE: prints what makes a command run as root: nothing for root, else sudo. Fails where
# there is neither. Sudo asks for a password only where somebody can answer.
as_root() {
    [ "$(id -u)" != 0 ] || return 0
    command -v sudo >/dev/null || return 1
    if sudo -n true 2>/dev/null; then echo sudo; return 0; fi
    [ -t 0 ] && [ -t 2 ] && [ "${CI:-}" != true ] || return 1
    say "sudo: $1 (goes on without it after three wrong passwords)"
    sudo -v >&2 && echo sudo
}

# What root has made in somebody's checkout becomes theirs: they could not run a test afterwards.
give_back() {
    local owner
    owner=$(stat -c %u:%g .)
    [ "$(id -u)" != 0 ] || [ "$owner" = 0:0 ] || find . -xdev -user root -exec chown -h "$owner" {} +
}
