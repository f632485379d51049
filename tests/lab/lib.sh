# shellcheck shell=bash
# lib.sh - what dockerlab.sh, etcdlab.sh and systemdlab.sh share. Source it after
# setting LAB (the script's short name, for messages) and DIR (its folder).

export PATH=$PATH:/usr/sbin:/sbin

say() { echo "$LAB: $*" >&2; }
die() { say "$*"; exit 1; }

# The comment at the top of the calling script is its manual.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# wait_for TENTHS CMD...: until CMD succeeds, at most TENTHS tenths of a second.
wait_for() {
    local n=$1; shift
    while ! "$@" >/dev/null 2>&1; do
        [ $((n--)) -gt 0 ] || return 1
        sleep 0.1
    done
}

# One command at a time changes a lab. What starts long-lived processes has to
# close descriptor 9 for them.
lock() { mkdir -p "$DIR"; exec 9>"$DIR.lock"; flock 9; }

# --- processes --------------------------------------------------------------

# A pid alone may have been reused since it was written down, so a file holds
# the pid and the start time (field 22 of /proc/PID/stat).
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
remember() { echo "$2 $(start_time "$2")" >"$1"; }      # remember FILE PID
alive() {               # alive FILE: prints the pid if that process still runs
    local pid start
    read -r pid start 2>/dev/null <"$1" || return 1
    [ -n "$start" ] && [ "$(start_time "$pid")" = "$start" ] && echo "$pid"
}

# end_process FILE SIGNAL TENTHS: SIGKILL after TENTHS.
end_process() {
    local pid
    pid=$(alive "$1") || return 0
    kill "-$2" "$pid" 2>/dev/null || return 0
    wait_for "$3" not_alive "$1" || { kill -KILL "$pid"; wait_for 50 not_alive "$1"; } ||
        die "process $pid does not end"
}
not_alive() { ! alive "$1"; }

# --- namespaces -------------------------------------------------------------

# Starts an init (a shell that only reaps orphans) in its own network, mount and
# PID namespaces; $DIR/init names it. When it is killed the kernel ends every
# process inside and drops their mounts and network devices, whatever happened
# before, so there is nothing to clean up by hand. All mounts made inside,
# ip-netns(8)'s included, are invisible outside. JOIN=PID: share that process's
# network instead.
start_namespaces() {
    local with=(unshare --mount --pid --fork --kill-child) join=()
    if [ -n "${JOIN:-}" ]; then join=(nsenter --target "$JOIN" --net); else with+=(--net); fi
    mkdir -p "$DIR"; rm -f "$DIR/init"
    # shellcheck disable=SC2016
    setsid --fork "${join[@]}" "${with[@]}" bash -c "$REMEMBER_SELF"'
        mount -t proc proc /proc
        mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns
        ip link set lo up
        echo 1 >/proc/sys/net/ipv4/ip_forward
        mv "$1.new" "$1"
        trap : TERM INT HUP CHLD
        while :; do sleep 3600 & wait $!; done
    ' "$LAB-init" "$DIR/init" </dev/null >"$DIR/init.log" 2>&1 9>&-
    wait_for 100 init_pid || die "the namespaces did not start: $(cat "$DIR/init.log")"
}
# The host's /proc is still mounted when this runs as the first process of a new
# PID namespace, so it sees its pid as the host does.
# shellcheck disable=SC2016
REMEMBER_SELF='
        read -r pid rest </proc/self/stat
        echo "$pid $(sed "s/.*) //" "/proc/$pid/stat" | cut -d" " -f20)" >"$1.new"
'
init_pid() { alive "$DIR/init"; }

# Runs a command inside, in the same working directory.
inside() {
    local pid
    pid=$(init_pid) || die "not running; try: $0 up"
    nsenter --target "$pid" --net --mount --pid --root --wd="$PWD" -- "$@"
}
# shellcheck disable=SC2016
inside_kill() { inside bash -c 'kill "-$1" "$2"' - "$1" "$2"; }     # SIGNAL PID
stop_namespaces() { end_process "$DIR/init" KILL 100; rm -f "$DIR/init"; }

# --- cgroups (v1, hybrid and v2) --------------------------------------------

# A name of our own, so that two labs never share a cgroup.
cgroup_name() { echo "$LAB-$(printf %s "$DIR" | cksum | cut -d' ' -f1)"; }
remove_cgroups() {
    local d
    for d in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [ -d "$d/$1" ] || continue
        wait_for 50 remove_cgroup "$d/$1" || say "left behind: $d/$1"
    done
}
remove_cgroup() { find "$1" -depth -type d -exec rmdir {} \; 2>/dev/null; [ ! -d "$1" ]; }

# --- packages ---------------------------------------------------------------

APT_INSTALL=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../tools/apt-install.sh

# missing COMMAND:PACKAGE...: prints the packages whose commands are missing.
missing() {
    local p
    for p; do command -v "${p%%:*}" >/dev/null || echo "${p#*:}"; done
}
# need COMMAND:PACKAGE...: installs them; they start no services on this host.
need() {
    local packages
    mapfile -t packages < <(missing "$@")
    [ ${#packages[@]} -gt 0 ] || return 0
    [ "${LAB_INSTALL:-1}" = 1 ] || die "missing packages: ${packages[*]} (install them, or set ${LAB^^}_INSTALL=1)"
    "$APT_INSTALL" "${packages[@]}" || die "could not install: ${packages[*]}"
}

# unpack SUITE FOLDER PACKAGE...: puts what is in packages of another Debian suite into FOLDER. They are not
# installed, and apt's own lists are not touched; needs no root. MIRROR: where from; else wherever this system
# has its own packages from.
unpack() {
    local suite=$1 folder=$2 mirror tmp code=1; shift 2
    tmp=$(mktemp -d) || return
    for mirror in ${MIRROR:-$(mirrors)}; do
        if download "$mirror" "$suite" "$tmp" "$@" >&2; then code=0; break; fi
    done
    [ $code != 0 ] || for deb in "$tmp"/*.deb; do dpkg -x "$deb" "$folder" || code=1; done
    rm -rf "$tmp"
    return $code
}
# Every place that has the suite which runs here: Debian's mirror, and maybe others.
mirrors() {
    apt-get update --print-uris 2>/dev/null |
        sed -n "s|^'\(.*\)/dists/$(. /etc/os-release; echo "$VERSION_CODENAME")/InRelease'.*|\1|p"
}
download() {            # download MIRROR SUITE FOLDER PACKAGE...
    local mirror=$1 suite=$2 folder=$3 options; shift 3
    mkdir -p "$folder"/{lists,cache}
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$folder/sources.list"
    options=(-qq -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
             -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=
             -o Acquire::Retries=2 -o Acquire::http::Timeout=20)
    apt-get "${options[@]}" update && (cd "$folder" && apt-get "${options[@]}" download "$@")
}

# debian_tar TAR SUITE PACKAGES: a minimal Debian tree as a tar, made once.
debian_tar() {
    [ ! -s "$1" ] || return 0
    need mmdebstrap:mmdebstrap
    mkdir -p "${1%/*}"
    local tmp=${TMPDIR:-}
    # On a disk most of the time goes into dpkg's fsync calls.
    [ "$(df -Pk /dev/shm | awk 'END {print $4}')" -lt 2000000 ] || tmp=${tmp:-/dev/shm}
    TMPDIR=${tmp:-/tmp} mmdebstrap --quiet --format=tar --variant=minbase ${3:+--include="$3"} \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$2" "$1.new" >&2
    mv "$1.new" "$1"
}
