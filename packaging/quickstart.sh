#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# lagwatch on a small real site, from nothing: installs what is missing (Debian 12, apt-get),
# builds, starts HAProxy with web servers and traffic, PostgreSQL with a standby, Apache with
# Passenger, and Elasticsearch where Maven and a JDK are, in a temporary directory, runs lagwatch on
# them and shows what it sees. With --once it checks that every source delivers, and ends.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root

usage() {
    cat <<END
usage: packaging/quickstart.sh [--once]

Installs the packages of packaging/build-deps.txt that are missing (as root or by sudo), builds
build/lagwatch, starts a site on loopback and lagwatch on it as an unprivileged user, and shows what
it sees until Ctrl-C.

  --once   check that every source delivers, print a digest and end; exit code 0 if all do
  --help   this text

LAGWATCH_BIN=FILE takes that binary instead of building one.
END
}

me=quickstart
# shellcheck source=packaging/apt.sh
source "$root/packaging/apt.sh"

# Under sudo, what is built belongs to whom the source tree belongs to.
as_owner() {
    local uid=${SUDO_UID:-0}
    local built=$root
    [[ -e $root/build ]] && built=$root/build
    if ((EUID == 0 && uid != 0)) && [[ $(stat -c %u "$built") == "$uid" ]]; then
        setpriv --reuid="$uid" --regid="${SUDO_GID:-$uid}" --clear-groups "$@"
    else
        "$@"
    fi
}

# As many compilers at once as processors, but not more than gigabytes of memory.
compilers() {
    local processors gigabytes
    processors=$(nproc)
    gigabytes=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
    printf '%d\n' "$((gigabytes < 1 ? 1 : gigabytes < processors ? gigabytes : processors))"
}

build() {
    if [[ -n ${LAGWATCH_BIN:-} ]]; then
        say "2/3 taking $LAGWATCH_BIN"
        return 0
    fi
    say "2/3 building $root/build/lagwatch (a few minutes when new)"
    long_step as_owner cmake -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DLAGWATCH_TESTS=OFF || die "cmake failed"
    long_step as_owner cmake --build "$root/build" --parallel "$(compilers)" ||
        die "the build failed"
}

main() {
    local -a arguments=()
    local argument
    for argument in "$@"; do
        case $argument in
            --once | -once) arguments=(--once) ;;
            -h | --help)
                usage
                exit 0
                ;;
            *)
                usage >&2
                exit 2
                ;;
        esac
    done
    command -v apt-get >/dev/null || die "needs Debian 12 (there is no apt-get here)"
    trap clean_up EXIT
    say "1/3 packages"
    install_packages "$root/packaging/build-deps.txt"
    build
    say "3/3 starting the site"
    exec "$root/tests/lab/run" quickstart "${arguments[@]}"
}

main "$@"
