#!/bin/bash
# apt-install.sh PACKAGE... - install Debian packages, and nothing else: none of the services that they
# bring is started, now or at the next boot, so that a web server of this host is not disturbed. Needs root.
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo "apt-install: must be root" >&2; exit 2; }
exec >&2

units() { find /etc/systemd/system -path '*.wants/*' -type l 2>/dev/null | sort; }
install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@"
}

policy=/usr/sbin/policy-rc.d            # exit code 101: a package may start nothing
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT           # left behind it would keep later packages from starting theirs
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
before=$(units)
compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt-get update -q
install "$@" || { apt-get update -q && install "$@"; }

comm -13 <(echo "$before") <(units) | while read -r link; do
    rm "$link"                          # what `systemctl disable` does, where there is one
    unit=${link##*/}
    echo "apt-install: $unit does not start at boot (systemctl enable $unit, for those who want it)"
done
