#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# lagwatch on a small real site, from nothing: installs what is missing (Debian 12, apt-get),
# builds, starts HAProxy with web servers and traffic in a temporary directory, runs lagwatch on it
# and shows what it sees. With --once it checks that every source delivers, and ends.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly policy=/usr/sbin/policy-rc.d
readonly saved_policy=$policy.before-lagwatch
guarding=no
log=

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

say() {
    printf 'quickstart: %s\n' "$*"
}

die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

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

# Runs a long command: its last line every few seconds, all of its output only when it fails.
long_step() {
    local line shown=$SECONDS started=$SECONDS
    log=$(mktemp -t lagwatch-quickstart.XXXXXX)
    if "$@" 2>&1 | tee "$log" | while IFS= read -r line; do
        if ((SECONDS - shown >= 5)); then
            shown=$SECONDS
            printf '  %3d s  %.100s\n' "$((SECONDS - started))" "$line"
        fi
    done; then
        rm -f "$log"
        return 0
    fi
    tail -n 60 "$log" >&2
    return 1
}

missing_packages() {
    local -a wanted
    local -A installed=()
    local package status
    mapfile -t wanted < <(
        sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$root/packaging/build-deps.txt")
    while read -r package status; do
        [[ $status == installed ]] && installed[$package]=yes
    done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
    for package in "${wanted[@]}"; do
        [[ -n ${installed[$package]:-} ]] || printf '%s\n' "$package"
    done
}

# Packages start their services when installed (haproxy does), unless this file says no.
guard_services() {
    if grep -qs 'lagwatch quickstart' "$policy"; then
        as_root rm -f "$policy" # left by a run that was killed
    fi
    if [[ -e $policy && ! -e $saved_policy ]]; then
        as_root mv "$policy" "$saved_policy"
    fi
    guarding=yes
    printf '#!/bin/sh\n# lagwatch quickstart, while it installs packages\nexit 101\n' |
        as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

release_services() {
    [[ $guarding == yes ]] || return 0
    guarding=no
    as_root rm -f "$policy"
    if [[ -e $saved_policy ]]; then
        as_root mv "$saved_policy" "$policy"
    fi
}

clean_up() {
    release_services
    [[ -z $log ]] || rm -f "$log"
}

install_packages() {
    local -a missing
    mapfile -t missing < <(missing_packages)
    if ((${#missing[@]} == 0)); then
        say "1/3 all packages are installed"
        return 0
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        die "not root and no sudo; install these yourself: ${missing[*]}"
    fi
    say "1/3 installing ${#missing[@]} packages: ${missing[*]}"
    local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    if ((EUID != 0)); then
        sudo -v || die "sudo was refused; install these yourself: ${missing[*]}"
    fi
    long_step as_root "${apt[@]}" update || die "apt-get update failed"
    guard_services
    long_step as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}" ||
        die "apt-get install failed"
    release_services
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
    install_packages
    build
    say "3/3 starting the site"
    exec "$root/tests/lab/run" quickstart "${arguments[@]}"
}

main "$@"
