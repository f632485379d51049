#!/bin/bash
# dockerlab.sh - a throw-away Docker daemon for integration tests.
#
# containerd and dockerd run inside their own network, mount and PID namespaces:
#   * no packet can leave the namespace (it has no uplink), so tests can use
#     bridges, user-defined networks, published ports and iptables freely;
#   * "down" kills the namespace's init, and the kernel then ends every container,
#     shim and daemon and drops every mount - also after a crash or a kill -9.
# The API socket is an ordinary file, so the Docker API works from outside as
# well; whatever talks to containers over TCP (nginx, curl, the program under
# test) has to run inside:  dockerlab.sh exec CMD...
#
# Usage: dockerlab.sh COMMAND
#   up               install what is missing, start the daemon, make the images
#   exec CMD...      run CMD inside the namespaces, with DOCKER_HOST set
#   env              print shell "export" lines (DOCKER_HOST, DOCKERLAB_PID, ...)
#   status           say whether the lab runs; exit 0 if it does
#   stop-daemon      SIGTERM dockerd (containers end, unless DOCKERLAB_LIVE=1)
#   kill-daemon      SIGKILL dockerd, as in a crash
#   start-daemon     start dockerd again
#   image NAME TREE [INSTRUCTION...]  make image NAME of the files in TREE, with
#                                Dockerfile instructions such as 'CMD ["/bin/app"]'
#   debian NAME [PKG,PKG...]     make NAME from Debian packages (mmdebstrap), as a
#                                base for "docker build" without a registry
#   python NAME PYTHON           make NAME of this host's PYTHON, its pip, busybox and strip, which
#                                takes seconds
#   fetch SUITE      unpack Docker of another Debian suite (trixie, sid) beside the
#                    installed one and print the folder to use as DOCKERLAB_BIN
#   compose SUITE    unpack Compose of another suite, and print the folder to use as DOCKER_CONFIG
#   missing          print the Debian packages that "up" would install; needs no root
#   down             end everything; images stay for the next "up"
#   purge            down, and delete images and cached files too
#
# Settings (environment):
#   DOCKERLAB_DIR       where everything lives; keep it short   /tmp/dockerlab
#   DOCKERLAB_IPTABLES  0: dockerd leaves iptables alone         1
#   DOCKERLAB_LIVE      1: containers outlive dockerd            0
#   DOCKERLAB_BIN       folder(s) searched first for dockerd, containerd, docker
#   DOCKERLAB_INSTALL   0: never call apt-get                    1
#   DOCKERLAB_FLAGS     further dockerd flags
#   DOCKERLAB_MIRROR    the Debian mirror that "fetch" uses
#
# Images made by "up": app:lab (busybox httpd) and nginx:lab (Debian's nginx).
# Needs: root, Debian 12 or later, cgroup v1 or v2.
set -euo pipefail

LAB=dockerlab
DIR=${DOCKERLAB_DIR:-/tmp/dockerlab}
LAB_INSTALL=${DOCKERLAB_INSTALL:-1}
IPTABLES=${DOCKERLAB_IPTABLES:-1}
LIVE=${DOCKERLAB_LIVE:-0}
export PATH=${DOCKERLAB_BIN:+$DOCKERLAB_BIN:}$PATH
. "$(dirname "$(readlink -f "$0")")/lib.sh"

# In a folder of its own: a container that mounts the folder, not the socket, can
# reconnect after a restart of dockerd, which makes a new socket.
SOCK=$DIR/api/docker.sock
export DOCKER_HOST=unix://$SOCK
# Addresses from the benchmarking range: never those of a real LAN. A /22 per
# network leaves room for 1000 containers.
POOL=198.18.0.0/16,size=22
BIP=198.19.0.1/22
# "docker compose" and "docker buildx" are found where "fetch" has put them.
bins=${DOCKERLAB_BIN:-}
for b in ${bins//:/ }; do [ ! -d "$b/config" ] || export DOCKER_CONFIG=$b/config; done

# --- daemons ----------------------------------------------------------------

storage_driver() {      # overlay2 where the file system can do it
    local t=$DIR/ovl; mkdir -p "$t"/{l,u,w,m}
    if unshare --mount mount -t overlay overlay \
        -o "lowerdir=$t/l,upperdir=$t/u,workdir=$t/w" "$t/m" 2>/dev/null
    then echo overlay2; else echo vfs; fi
    rm -rf "$t"
}

daemon_pid() {          # dockerd's pid inside the namespace
    local pid
    pid=$(cat "$DIR/dockerd.pid" 2>/dev/null) || return 1
    [ "$(inside cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] && echo "$pid"
}

start_containerd() {
    # Our own containerd: a system-wide one would start containers outside.
    cat >"$DIR/containerd.toml" <<TOML
version = 2
root = "$DIR/data/containerd"
state = "$DIR/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$DIR/run/containerd.sock"
TOML
    mkdir -p "$DIR"/{run,data,api}
    inside setsid --fork containerd --config "$DIR/containerd.toml" \
        </dev/null >"$DIR/containerd.log" 2>&1 9>&-
    wait_for 100 test -S "$DIR/run/containerd.sock" ||
        die "containerd did not start; see $DIR/containerd.log"
}

start_daemon() {
    local driver flags=()
    daemon_pid >/dev/null && return 0
    rm -f "$DIR/dockerd.pid" "$SOCK"
    driver=$(cat "$DIR/driver" 2>/dev/null) || { driver=$(storage_driver); echo "$driver" >"$DIR/driver"; }
    [ "$IPTABLES" = 1 ] || flags+=(--iptables=false --ip-masq=false)
    [ "$LIVE" = 1 ] && flags+=(--live-restore)
    # shellcheck disable=SC2086  # DOCKERLAB_FLAGS holds several words
    inside setsid --fork dockerd --containerd="$DIR/run/containerd.sock" \
        --data-root "$DIR/data/docker" --exec-root "$DIR/run/docker" \
        --pidfile "$DIR/dockerd.pid" -H "unix://$SOCK" --group root \
        --storage-driver="$driver" --exec-opt native.cgroupdriver=cgroupfs \
        --cgroup-parent="/$(cgroup_name)" --bip="$BIP" --default-address-pool="base=$POOL" \
        --ip6tables=false "${flags[@]}" ${DOCKERLAB_FLAGS:-} \
        </dev/null >>"$DIR/dockerd.log" 2>&1 9>&-
    wait_for 300 docker version || die "dockerd did not start; see $DIR/dockerd.log"
}

stop_daemon() {         # stop_daemon SIGNAL
    local pid
    pid=$(daemon_pid) || return 0
    inside_kill "$1" "$pid"
    wait_for 300 daemon_gone || die "dockerd does not stop"
}
daemon_gone() { ! daemon_pid; }

# --- images -----------------------------------------------------------------

# Copies programs and the shared libraries that they load into a tree.
copy_with_libs() {      # copy_with_libs TREE FILE...
    local tree=$1 f; shift
    for f in "$@"; do
        { echo "$f"; ldd "$f" 2>/dev/null | grep -o '/[^ ]*' || true; }
    done | sort -u | while read -r f; do
        [ -e "$tree$f" ] || cp -L --parents "$f" "$tree"
    done
}

# busybox, users and the usual folders: the least that a container needs.
skeleton() {            # skeleton TREE
    mkdir -p "$1"/{bin,etc,tmp,run,root,proc,sys,dev,var/log}
    chmod 1777 "$1/tmp"
    cp "$BUSYBOX" "$1/bin/busybox"
    local a
    for a in $(busybox --list); do [ -e "$1/bin/$a" ] || ln -s busybox "$1/bin/$a"; done
    printf '%s\n' root:x:0:0::/root:/bin/sh www-data:x:33:33::/var/www:/bin/false \
        nobody:x:65534:65534::/:/bin/false >"$1/etc/passwd"
    printf '%s\n' root:x:0: www-data:x:33: adm:x:4: nogroup:x:65534: >"$1/etc/group"
}

# A build FROM scratch needs no registry and, unlike "docker import", takes every
# instruction (import knows no STOPSIGNAL).
make_image() {          # make_image NAME TREE INSTRUCTION...
    local name=$1 tree=$2 ctx=$DIR/context; shift 2
    rm -rf "$ctx"; mkdir -p "$ctx"
    tar -C "$tree" --owner=0 --group=0 --numeric-owner -cf "$ctx/tree.tar" .
    printf '%s\n' 'FROM scratch' 'ADD tree.tar /' "$@" >"$ctx/Dockerfile"
    DOCKER_BUILDKIT=0 docker build -q -t "$name" "$ctx" 2>"$ctx/log" >/dev/null || die "$name: $(cat "$ctx/log")"
    rm -rf "$ctx"
}

# app:lab answers on $PORT (8080) with its name, host name and port.
#   /healthz          "ok" (remove /www/healthz in the container to fail it)
#   /cgi-bin/echo     the request as the server saw it
#   /cgi-bin/slow?N   answers after N seconds
#   START_DELAY, STOP_DELAY: seconds before it listens / after SIGTERM
image_app() {
    local t=$DIR/tree.app; rm -rf "$t"; mkdir -p "$t/www/cgi-bin"
    skeleton "$t"
    cat >"$t/bin/app" <<'SH'
#!/bin/sh
: "${PORT:=8080}"
echo "app=${APP:-app} host=$(hostname) port=$PORT" >/www/index.html
sleep "${START_DELAY:-0}" & wait $!
httpd -f -p "$PORT" -h /www & pid=$!
trap 'sleep "${STOP_DELAY:-0}"; kill $pid; exit 0' TERM INT
wait $pid
SH
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\nenv | sort\n' >"$t/www/cgi-bin/echo"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nsleep "${QUERY_STRING:-1}"\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\ncat /www/index.html\n' >"$t/www/cgi-bin/slow"
    echo ok >"$t/www/healthz"
    chmod 755 "$t/bin/app" "$t"/www/cgi-bin/*
    make_image app:lab "$t" 'CMD ["/bin/app"]' 'EXPOSE 8080'
    rm -rf "$t"
}

# nginx:lab is Debian's nginx in the foreground, logging to the container's log.
# It reads /etc/nginx/conf.d/*.conf inside http{}; SIGHUP reloads, SIGQUIT drains.
image_nginx() {
    local t=$DIR/tree.nginx bin
    rm -rf "$t"; mkdir -p "$t"/{etc/nginx/conf.d,var/lib/nginx,var/log/nginx,usr/share/nginx,usr/sbin}
    skeleton "$t"
    bin=$(command -v nginx) || die "nginx is missing"
    copy_with_libs "$t" "$bin"
    [ "$bin" = /usr/sbin/nginx ] || cp "$bin" "$t/usr/sbin/nginx"
    cp /etc/nginx/mime.types "$t/etc/nginx/" 2>/dev/null || echo 'types { text/html html; }' >"$t/etc/nginx/mime.types"
    ln -s /dev/stdout "$t/var/log/nginx/access.log"
    ln -s /dev/stderr "$t/var/log/nginx/error.log"
    cat >"$t/etc/nginx/nginx.conf" <<'NGINX'
user www-data;
worker_processes 2;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log notice;
events { worker_connections 1024; }
http {
    include mime.types;
    access_log /var/log/nginx/access.log;
    include conf.d/*.conf;
}
NGINX
    make_image nginx:lab "$t" 'CMD ["/usr/sbin/nginx","-g","daemon off;"]' 'EXPOSE 80' 'STOPSIGNAL SIGQUIT'
    rm -rf "$t"
}

# A Debian base image, so that Dockerfiles that start from Debian can be built.
image_debian() {        # image_debian NAME [PKG,PKG...]
    local name=$1 pkgs=${2:-} suite tar
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    tar=$DIR/cache/debian-$suite-$(printf %s "$pkgs" | cksum | cut -d' ' -f1).tar
    debian_tar "$tar" "$suite" "$pkgs"
    docker import --change 'CMD ["bash"]' "$tar" "$name" >/dev/null
}

# A stand-in for python:slim: a Dockerfile that starts from that can be built on it.
image_python() {        # image_python NAME PYTHON
    local name=$1 t=$DIR/tree.python exe lib
    packages
    { read -r exe; read -r lib; } < <("$2" -c 'import os, sys, sysconfig
print(os.path.realpath(sys.executable), sysconfig.get_path("stdlib"), sep="\n")')
    rm -rf "$t"; mkdir -p "$t/usr/bin"
    skeleton "$t"
    tar -C / --exclude=__pycache__ --exclude=site-packages --exclude=dist-packages --exclude=test --exclude=tests \
        --exclude=idlelib --exclude=tkinter --exclude="config-*" -cf - ".$lib" | tar -C "$t" -xf -
    copy_with_libs "$t" "$exe" "$lib"/lib-dynload/*.so "$(command -v strip)"
    # what wheels are linked to besides
    ldconfig -p | sed -En 's/^\t(libpthread|libdl|librt|libutil|libgcc_s|libstdc\+\+)\.so\.[0-9]+ .*=> //p' |
        xargs -I{} cp -L --parents {} "$t"
    # on Debian site-packages are elsewhere, and this is everywhere searched
    cp -r "$("$2" -c 'import os, pip; print(os.path.dirname(pip.__file__))')" "$t$lib"
    ln -s "$exe" "$t/bin/python3"
    chmod -R go+rX "$t"
    make_image "$name" "$t" 'CMD ["/bin/python3"]'
    rm -rf "$t"
}

# Newer versions of Docker, without touching what is installed. runc stays that
# of this system: a newer one may need a newer libc.
fetch() {               # fetch SUITE
    local suite=$1 t=$DIR/fetch.$1 bin=$DIR/cache/docker-$1
    if [ ! -x "$bin/dockerd" ]; then
        rm -rf "$t"; mkdir -p "$t" "$bin"
        MIRROR=${DOCKERLAB_MIRROR:-} unpack "$suite" "$t" docker.io docker-cli containerd docker-compose docker-buildx ||
            die "cannot get Docker of $suite (another mirror: DOCKERLAB_MIRROR)"
        cp "$t"/usr/bin/{docker,containerd,containerd-shim-runc-v2} "$t"/usr/sbin/docker-proxy "$bin"
        mkdir -p "$bin/config/cli-plugins"
        cp "$t"/usr/libexec/docker/cli-plugins/* "$bin/config/cli-plugins/"
        cp "$t"/usr/sbin/dockerd "$bin"         # last: it marks the folder as whole
        rm -rf "$t"
    fi
    echo "$bin"
}

# Compose alone, for any Docker.
compose() {             # compose SUITE
    local suite=$1 t=$DIR/fetch.$1 config=$DIR/cache/compose-$1
    if [ ! -x "$config/cli-plugins/docker-compose" ]; then
        rm -rf "$t"; mkdir -p "$t" "$config/cli-plugins"
        MIRROR=${DOCKERLAB_MIRROR:-} unpack "$suite" "$t" docker-compose ||
            die "cannot get Compose of $suite (another mirror: DOCKERLAB_MIRROR)"
        cp "$t/usr/libexec/docker/cli-plugins/docker-compose" "$config/cli-plugins"
        rm -rf "$t"
    fi
    echo "$config"
}

# --- up and down ------------------------------------------------------------

NEEDS=(dockerd:docker.io docker:docker.io containerd:containerd runc:runc
       ip:iproute2 iptables:iptables nginx:nginx strip:binutils)
# Only the static busybox runs in an image without libraries.
static_busybox() { BUSYBOX=$(command -v busybox) && ! ldd "$BUSYBOX" >/dev/null 2>&1; }
packages() {
    need "${NEEDS[@]}"
    static_busybox || need busybox-static:busybox-static
    static_busybox || die "$BUSYBOX is not static (install busybox-static instead of busybox)"
}

up() {
    mkdir -p "$DIR"
    if init_pid >/dev/null; then start_daemon; say "already up"; return 0; fi
    down
    packages
    start_namespaces
    start_containerd
    start_daemon
    # What an earlier "up" has left, other than images.
    docker ps -aq | xargs -r docker rm -f -v >/dev/null
    docker network prune -f >/dev/null
    docker volume ls -q | xargs -r docker volume rm -f >/dev/null
    docker image inspect app:lab >/dev/null 2>&1 || image_app
    docker image inspect nginx:lab >/dev/null 2>&1 || image_nginx
    say "up: DOCKER_HOST=$DOCKER_HOST, Docker $(docker version -f '{{.Server.Version}}'), $(cat "$DIR/driver")"
}

down() {
    stop_namespaces         # and with them every container and daemon
    remove_cgroups "$(cgroup_name)"
    rm -rf "$DIR"/{run,api,context,dockerd.pid} "$DIR"/tree.* "$DIR"/fetch.* "$DIR"/*.log
}

cmd=${1:-help}; [ $# -eq 0 ] || shift
if [ "$cmd" = missing ]; then
    missing "${NEEDS[@]}"
    static_busybox || echo busybox-static
    exit
fi
[ "$(id -u)" = 0 ] || die "must be root"
case "$DIR" in /*) ;; *) die "DOCKERLAB_DIR must be an absolute path" ;; esac
case "$cmd" in up|down|purge|*-daemon|debian|python|fetch|compose|image) lock ;; esac
case "$cmd" in
    up)            up ;;
    down)          down ;;
    purge)         down; rm -rf "$DIR" "$DIR.lock" ;;
    start-daemon)  start_daemon ;;
    stop-daemon)   stop_daemon TERM ;;
    kill-daemon)   stop_daemon KILL ;;
    exec)          [ $# -gt 0 ] || die "exec needs a command"; inside "$@" ;;
    image)         [ $# -ge 2 ] || die "image needs a name and a folder"; make_image "$@" ;;
    debian)        [ $# -ge 1 ] || die "debian needs an image name"; image_debian "$@" ;;
    python)        [ $# = 2 ] || die "python needs an image name and a program"; image_python "$@" ;;
    fetch)         [ $# = 1 ] || die "fetch needs a suite"; fetch "$1" ;;
    compose)       [ $# = 1 ] || die "compose needs a suite"; compose "$1" ;;
    status)        if p=$(init_pid) && daemon_pid >/dev/null; then echo "up (init $p)"; else echo down; exit 1; fi ;;
    env)           p=$(init_pid) || die "not running"
                   printf 'export DOCKER_HOST=%q DOCKERLAB_PID=%q DOCKERLAB_DIR=%q\n' "$DOCKER_HOST" "$p" "$DIR" ;;
    *)             usage; [ "$cmd" = help ] ;;
esac
