# The benchmarks: test/bench/NAME.sh, each in a throw-away server of its own with
# settings as in production (fsync and synchronous commit on). Sourced by run.sh.
# shellcheck shell=sh
# shellcheck disable=SC2154  # work, tree, pg_config and server_user are run.sh's

[ $# -gt 0 ] || set -- seal open bulk scan reveal sizes lookup policy guard audit trail ingest rotation
for name in "$@"; do
    [ -e "$tree/test/bench/$name.sh" ] || die "no benchmark is called $name"
done

# Raw libsodium in a C function, to compare with in the same backend
quietly as_server make -s -C "$work/tree/test/bench/raw" PG_CONFIG="$pg_config" with_llvm=no \
    DESTDIR="$work/install" install

memory=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
buffers=$((memory / 4))
[ "$buffers" -le 2048 ] || buffers=2048

printf 'customer_hub %s, %s, %s, libsodium %s\n' \
    "$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$tree/customer_hub.control")" \
    "$("$pg_config" --version)" \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
    "$(sed -n 's/^#define SODIUM_VERSION_STRING "\(.*\)"/\1/p' /usr/include/sodium/version.h /usr/include/*/sodium/version.h 2>/dev/null | head -n 1)"
printf 'Ratios are medians of %s interleaved rounds.\n' "${ROUNDS:-7}"

cd "$work/tree" || exit
for name in "$@"; do
    libraries=customer_hub
    [ "$name" != audit ] || libraries=customer_hub,pgaudit
    start_server "shared_preload_libraries = '$libraries'" "shared_buffers = ${buffers}MB" \
        'wal_level = replica' 'max_wal_size = 8GB' 'checkpoint_timeout = 30min' \
        'random_page_cost = 1.1' "effective_cache_size = $((memory / 2))MB"
    fresh_database bench
    if [ "$name" = rotation ]; then
        # the key of the next epoch, which the server reads when it starts
        as_server sh -c "umask 077 && od -An -vtx1 -N32 /dev/urandom | tr -d ' \\n' >'$server/keys/epoch-2.key'"
        quietly as_server "$bin/pg_ctl" -w -D "$server/data" -l "$server/log" -m fast restart
    fi
    # "$BENCH_RESTART" LIBRARIES [POSTGRES [OPTION]] starts the server anew with these
    # libraries, or with none, and with another program or another option
    as_server_command='exec'
    [ "$(id -u)" -ne 0 ] || as_server_command="exec setpriv --reuid $server_user --regid $server_user --init-groups"
    cat >"$work/restart" <<RESTART
#!/bin/sh
$as_server_command "$bin/pg_ctl" -w -D "$server/data" -l "$server/log" -m fast -p "\${2:-$bin/postgres}" -o "-c shared_preload_libraries='\$1' \${3:-}" restart >/dev/null 2>&1 </dev/null
RESTART
    chmod 755 "$work/restart"
    mkdir "$work/out/$name"
    PGDATABASE=bench BENCH_RESTART=$work/restart BENCH_POSTGRES=$bin/postgres BENCH_DIR=$work/out/$name sh "test/bench/$name.sh"
    quietly as_server "$bin/pg_ctl" -D "$server/data" -m fast stop
    rm -rf "${server:?}"/*
done
