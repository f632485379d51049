#!/bin/bash
# consul.sh FOLDER - put the program consul into FOLDER, unless it is there.
#
# Debian has had it up to version 11 (bullseye), so it is unpacked from there, for any Debian 12 or later. It
# is not installed, and needs no root; about 3 s and 15 MB.
#
# Settings (environment):
#   CONSUL_MIRROR  a Debian mirror that has bullseye; else the one that this system uses
set -euo pipefail

LAB=consul
. "$(dirname "$(readlink -f "$0")")/lib.sh"

folder=${1:?takes a folder}
[ ! -x "$folder/consul" ] || exit 0
mkdir -p "$folder"
tmp=$(mktemp -d "$folder/.consul.XXXXXX")       # beside it, so that the program appears in one step
trap 'rm -rf "$tmp"' EXIT
MIRROR=${CONSUL_MIRROR:-} unpack bullseye "$tmp" consul ||
    die "cannot get Debian 11's consul (another mirror: CONSUL_MIRROR)"
mv "$tmp/usr/bin/consul" "$folder/"
