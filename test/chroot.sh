#!/bin/sh
# Run the demo and the suite on a bare system of another Debian release.
#
#   test/chroot.sh [bookworm|trixie|…] [ARGUMENTS OF run.sh]
#
# Needs root and debootstrap. The mirror is that of this machine's apt, or $MIRROR.
# Installs the smallest system there is into a directory under ${TMPDIR:-/tmp},
# copies the tree to its /root, and runs there, in this order:
#   1. run.sh demo, as root: installs packages, builds, shows
#   2. run.sh test, as root (or run.sh with the arguments given); its packages come first
#   3. run.sh exec, as a plain user, as packages are there by now
#   4. a search for files that 1 to 3 left outside what packages own
# KEEP_WORK=1 leaves the directory.
set -eu

die() {
    echo "chroot.sh: $*" >&2
    exit 1
}

suite=${1:-bookworm}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- test
[ "$(id -u)" -eq 0 ] || die "needs root"
command -v debootstrap >/dev/null || die "needs debootstrap: apt-get install debootstrap"
tree=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# shellcheck disable=SC2016  # $(SITE) is apt's
mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v -- '-security' | head -n 1)}
[ -n "$mirror" ] || die "this machine's apt names no mirror; set MIRROR"
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "${proxy:-}" ] || export http_proxy="$proxy"

root=$(mktemp -d "${TMPDIR:-/tmp}/customer_hub-$suite.XXXXXX")
chmod 755 "$root"
# shellcheck disable=SC2317  # the trap calls it
clean_up() {
    if [ -n "${KEEP_WORK:-}" ]; then echo "chroot.sh: kept $root" >&2; else rm -rf --one-file-system "$root"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# a release that this machine's debootstrap is too old to know is made like sid
script=/usr/share/debootstrap/scripts/$suite
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
debootstrap --variant=minbase "$suite" "$root" "$mirror" "$script" >"$root.log" 2>&1 ||
    { tail -n 20 "$root.log" >&2; die "debootstrap failed"; }
mv "$root.log" "$root/var/log/debootstrap.log"
# a mirror that is frozen at some day has lists that have expired since
echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/90frozen"
mkdir "$root/root/customer_hub"
(cd "$tree" && tar -cf - --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude=./build .) |
    tar -xf - --no-same-owner -C "$root/root/customer_hub"

cat >"$root/root/run" <<'INSIDE'
set -eu
cd /root
echo "=== $(. /etc/os-release && echo "$PRETTY_NAME"): run.sh demo"
sh customer_hub/test/run.sh demo
# what the tests need is installed by now: packages make files of their own
sh customer_hub/test/run.sh test lint/rooms
touch /root/stamp
echo "=== run.sh $*"
status=0
sh customer_hub/test/run.sh "$@" || status=$?
echo "=== run.sh exec, as a plain user"
cp -r customer_hub /srv/customer_hub
cd /srv
setpriv --reuid 65534 --regid 65534 --clear-groups sh customer_hub/test/run.sh exec psql -XAtc "SELECT 'plain user: ' || version()"
rm -r /srv/customer_hub
echo "=== files left behind"
left=$(find / -xdev -newer /root/stamp ! -type d ! -path '/proc/*' ! -path '/dev/*' ! -path '/var/log/*' ! -path '/var/cache/*' ! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*')
[ -z "$left" ] || { printf '%s\n' "$left"; exit 1; }
echo none
exit "$status"
INSIDE

# The namespaces take every mount and every process with them when they end
status=0
# shellcheck disable=SC2016  # expanded inside
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root ${http_proxy:+http_proxy="$http_proxy"} \
    unshare --mount --pid --fork sh -c '
        root=$1
        shift
        mount -t proc proc "$root/proc"
        chroot "$root" sh /root/run "$@"
    ' sh "$root" "$@" || status=$?
exit "$status"
