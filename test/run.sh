#!/bin/sh
# Build customer_hub, start a throw-away server that has it, and run something in it.
#
#   test/run.sh demo                  what the hub does, on invented people
#   test/run.sh test [KIND[/NAME]]…   every test, or those named; see test/README.md
#   test/run.sh exec CMD…             CMD with PGHOST, PGPORT, PGUSER, PGDATABASE set
#   test/run.sh psql [ARG…]           psql on the same server
#   test/run.sh bench [NAME]…         the benchmarks; see test/bench/README.md
#
# Works as root, through sudo and as a plain user. Missing Debian packages are
# installed with apt-get. All else happens in a work directory under
# ${TMPDIR:-/tmp} that goes away at the end: the tree is copied there and built,
# and installed into a private copy of the PostgreSQL directories, so neither
# the tree nor an installed customer_hub nor a running server is touched.
#
#   PG_CONFIG=PATH    the PostgreSQL to use; by default the newest with headers
#   KEEP_WORK=1       leave the work directory (and print where it is)
set -eu

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "run.sh: $*"
    exit 1
}

# Run a command quietly; its output matters only when it fails
quietly() {
    if ! "$@" </dev/null >"$work/log/last" 2>&1; then
        cat "$work/log/last" >&2
        die "failed: $*"
    fi
}

# ---------------------------------------------------------------------------
# packages

# need PACKAGE TEST…: note the package as missing when the test fails
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 </dev/null && return 0
    case "$missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
}

# Run apt-get, as root or through sudo
apt() {
    if [ "$(id -u)" -eq 0 ]; then
        quietly env PATH="$work/apt:$PATH" DEBIAN_FRONTEND=noninteractive apt-get "$@"
    elif command -v sudo >/dev/null; then
        quietly sudo env PATH="$work/apt:$PATH" DEBIAN_FRONTEND=noninteractive apt-get "$@"
    else
        die "these packages are missing and only root can install them:$missing"
    fi
}

install_missing() {
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "missing, and there is no apt-get to install it:$missing"
    say "run.sh: installing$missing"
    # The packages would create a main cluster, and start it and a pooler. Nobody asked for them.
    mkdir -p "$work/apt"
    for program in pg_createcluster deb-systemd-invoke invoke-rc.d; do
        printf '#!/bin/sh\nexit 0\n' >"$work/apt/$program"
        chmod +x "$work/apt/$program"
    done
    [ -n "$lists_updated" ] || apt -qq update
    lists_updated=1
    # shellcheck disable=SC2086  # a list of package names
    apt -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install $missing
    missing=
}

has_headers() {
    [ -x "$1" ] && [ -e "$("$1" --pgxs)" ] && [ -x "$("$1" --bindir)/postgres" ]
}

has_libpq() { [ -e "$("$pg_config" --includedir)/libpq-fe.h" ] || [ -e /usr/include/postgresql/libpq-fe.h ]; }
has_sodium() { echo '#include <sodium.h>' | cc -E -; }
has_extension() { [ -e "$sharedir/extension/$1.control" ]; }

# Choose the PostgreSQL to build for: $PG_CONFIG, or the newest packaged one with headers
choose_server() {
    if [ -n "${PG_CONFIG:-}" ]; then
        pg_config=$(command -v "$PG_CONFIG") || die "PG_CONFIG names no program: $PG_CONFIG"
        return 0
    fi
    newest=0
    pg_config=
    for candidate in /usr/lib/postgresql/*/bin/pg_config; do
        major=${candidate#/usr/lib/postgresql/}
        major=${major%%/*}
        if has_headers "$candidate" && [ "$major" -gt "$newest" ]; then
            newest=$major
            pg_config=$candidate
        fi
    done
    [ -z "$pg_config" ] || return 0
    pg_config=$(command -v pg_config) && has_headers "$pg_config" && return 0
    pg_config=
}

# Install what building and the given purpose need
install_packages() {
    missing=
    lists_updated=
    choose_server
    if [ -z "$pg_config" ]; then
        command -v apt-get >/dev/null || die "no PostgreSQL with server headers found; set PG_CONFIG"
        missing=" (PostgreSQL)"
        apt -qq update
        lists_updated=1
        major=$(apt-cache depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
        [ -n "$major" ] || die "the package archive has no postgresql"
        missing=" postgresql-$major postgresql-server-dev-$major"
        pg_config=/usr/lib/postgresql/$major/bin/pg_config
        sharedir=/usr/share/postgresql/$major
    else
        major=$("$pg_config" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
        sharedir=$("$pg_config" --sharedir)
    fi
    need build-essential command -v cc
    need build-essential command -v make
    need libsodium-dev has_sodium
    need openssl command -v openssl
    case $1 in
    test)
        need "postgresql-$major-pgtap" has_extension pgtap
        need libtap-parser-sourcehandler-pgtap-perl command -v pg_prove
        need libipc-run-perl perl -MIPC::Run -e 1
        need python3 command -v python3
        need libpq-dev has_libpq
        need python3-psycopg /usr/bin/python3 -c 'import psycopg'
        need python3-psycopg2 /usr/bin/python3 -c 'import psycopg2'
        need python3-sqlalchemy /usr/bin/python3 -c 'import sqlalchemy'
        # without npm, the packaged node-postgres
        command -v npm >/dev/null || need node-pg node -e 'require("/usr/share/nodejs/pg")'
        need python3-jwt /usr/bin/python3 -c 'import jwt'
        need python3-cryptography /usr/bin/python3 -c 'import cryptography'
        need pgbouncer sh -c 'PATH=$PATH:/usr/sbin command -v pgbouncer'
        # where the browser is no Debian package, the test that renders a report says so
        ! grep -qs '^ID=debian' /etc/os-release || need chromium command -v chromium
        ;;
    bench)
        need "postgresql-$major-pgaudit" has_extension pgaudit
        need "postgresql-$major-tablelog" has_extension table_log
        ;;
    esac
    install_missing
    has_headers "$pg_config" || die "$pg_config: no server headers, or no server"
    [ "$major" -ge 15 ] || die "customer_hub needs PostgreSQL 15 or later; $pg_config is of $major"
}

# ---------------------------------------------------------------------------
# build and install, in the work directory

# Run a command as the owner of the server: initdb refuses root
as_server() {
    if [ "$(id -u)" -eq 0 ]; then
        HOME=$work setpriv --reuid "$server_user" --regid "$server_user" --init-groups "$@"
    else
        HOME=$work "$@"
    fi
}

copy_tree() {
    mkdir "$work/tree"
    (cd "$tree" && tar -cf - --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
        --exclude=./build --exclude=./results --exclude=./output_iso .) |
        tar -xf - --no-same-owner -C "$work/tree"
    chmod -R u+w,a+rX "$work/tree"
}

# PostgreSQL finds its directories relative to its programs: a copy of the
# programs beside links to the rest is an installation of its own.
copy_server() {
    bindir=$("$pg_config" --bindir)
    pkglibdir=$("$pg_config" --pkglibdir)
    bin=$work/install$bindir
    mkdir -p "$bin" "$work/install$pkglibdir" "$work/install$sharedir"
    cp -L "$bindir"/* "$bin/"
    ln -s "$pkglibdir"/* "$work/install$pkglibdir/"
    ln -s "$sharedir"/* "$work/install$sharedir/"
    rm "$work/install$sharedir/extension"
    mkdir "$work/install$sharedir/extension"
    ln -s "$sharedir"/extension/* "$work/install$sharedir/extension/"
    rm -f "$work/install$pkglibdir"/customer_hub* "$work/install$sharedir"/extension/customer_hub*
}

build() {
    quietly as_server make -s -C "$work/tree" -j "$(nproc)" PG_CONFIG="$pg_config" with_llvm=no
    quietly as_server make -s -C "$work/tree" PG_CONFIG="$pg_config" with_llvm=no \
        DESTDIR="$work/install" install
    "$bin/postgres" --version >/dev/null 2>&1 ||
        die "programs do not run in $work; set TMPDIR to a directory that is not mounted noexec"
}

# ---------------------------------------------------------------------------
# server

# start_server [SETTING…]: a server with a key, reached by a socket in the work directory
start_server() {
    server=$work/server
    as_server mkdir "$server/keys"
    as_server chmod 700 "$server/keys"
    as_server touch "$server/keys/epoch-1.key"
    as_server chmod 600 "$server/keys/epoch-1.key"
    od -An -vtx1 -N32 /dev/urandom | tr -d ' \n' | as_server tee "$server/keys/epoch-1.key" >/dev/null
    quietly as_server "$bin/initdb" -D "$server/data" -A trust -U postgres \
        -E UTF8 --locale=C.UTF-8 --no-sync
    as_server tee -a "$server/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$server'
shared_preload_libraries = 'customer_hub'
customer_hub.key_directory = '$server/keys'
customer_hub.audit_databases = 64
max_worker_processes = 96
max_prepared_transactions = 20
wal_level = logical
log_line_prefix = '%m [%p] %q%u@%d '
$(printf '%s\n' "$@")
CONF
    if ! as_server "$bin/pg_ctl" -w -D "$server/data" -l "$server/log" start \
        >"$work/log/last" 2>&1 </dev/null; then
        cat "$work/log/last" "$server/log" >&2
        die "the server did not start"
    fi
    export PATH="$bin:$PATH" PGHOST="$server" PGPORT=5432 PGUSER=postgres
    unset PGSERVICE PGSERVICEFILE PGPASSFILE PGOPTIONS PGHOSTADDR PGSSLMODE PGDATA PGDATABASE
}

# fresh_database NAME: a database with the extension, and nothing else
fresh_database() {
    quietly psql -Xq -v ON_ERROR_STOP=1 -d postgres -c "CREATE DATABASE \"$1\""
    quietly psql -Xq -v ON_ERROR_STOP=1 -d "$1" -c 'CREATE EXTENSION customer_hub'
}

# Stop every server that runs in the work directory, and remove it
clean_up() {
    status=$?
    trap - EXIT
    trap '' HUP INT TERM
    find "$work" -name postmaster.pid 2>/dev/null | while read -r pid_file; do
        pid=$(head -n 1 "$pid_file")
        kill -QUIT "$pid" 2>/dev/null || continue
        tries=50
        while kill -0 "$pid" 2>/dev/null && [ "$tries" -gt 0 ]; do
            sleep 0.1
            tries=$((tries - 1))
        done
    done
    if [ -n "${KEEP_WORK:-}" ]; then
        say "run.sh: work directory kept: $work"
    else
        cd / && rm -rf "$work"
    fi
    exit "$status"
}

# ---------------------------------------------------------------------------

[ $# -ge 1 ] || usage
action=$1
shift
case $action in
demo | test | psql | bench) ;;
exec) [ $# -ge 1 ] || usage ;;
*) usage ;;
esac

umask 022
tree=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/customer_hub.XXXXXX")
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# A socket's path has at most 107 bytes
[ "${#work}" -le 70 ] || die "the path of the work directory is too long: set TMPDIR to a shorter one than ${TMPDIR:-/tmp}"

caller_lc_all=${LC_ALL-unset}
export LC_ALL=C.UTF-8
mkdir "$work/log"
install_packages "$action"

server_user=postgres
id "$server_user" >/dev/null 2>&1 || server_user=nobody
copy_tree
copy_server
mkdir "$work/server" "$work/out" "$work/tmp"
chmod 755 "$work"
[ "$(id -u)" -ne 0 ] || chown -R "$server_user:" "$work/tree" "$work/install" "$work/server" "$work/out" "$work/tmp"
build

# Give a command of the caller's the environment that the caller had
as_called() {
    if [ "$caller_lc_all" = unset ]; then unset LC_ALL; else LC_ALL=$caller_lc_all; fi
    status=0
    "$@" || status=$?
    exit "$status"
}

case $action in
exec | psql | demo)
    start_server 'fsync = off'
    fresh_database hub
    export PGDATABASE=hub
    ;;
esac
case $action in
exec) as_called "$@" ;;
psql) as_called psql "$@" ;;
demo)
    cd "$work/tree/docs/demo"
    TMPDIR=$work/tmp as_server sh demo.sh
    ;;
test)
    # shellcheck source=test/suite.sh
    . "$tree/test/suite.sh"
    ;;
bench)
    # shellcheck source=test/bench/driver.sh
    . "$tree/test/bench/driver.sh"
    ;;
esac
