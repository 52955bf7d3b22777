# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For scripts to source, which set `me` (their name) and `root` (the source tree): installs Debian packages that are
# missing, starts no service on the way, shows progress on long steps.

readonly policy=/usr/sbin/policy-rc.d
readonly saved_policy=$policy.before-lagwatch
guarding=no
log=

# shellcheck disable=SC2154 # `me` is the script's that sources this
say() {
    printf '%s: %s\n' "$me" "$*"
}

# shellcheck disable=SC2154
die() {
    printf '%s: %s\n' "$me" "$*" >&2
    exit 1
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

# Runs a long command: its last line every few seconds, all of its output only when it fails.
long_step() {
    local line shown=$SECONDS started=$SECONDS
    log=$(mktemp -t lagwatch-step.XXXXXX)
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

# Of the packages named in files, one a line: those that are not installed.
missing_packages() {
    local -a wanted
    local -A installed=()
    local package status
    mapfile -t wanted < <(
        sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$@")
    while read -r package status; do
        [[ $status == installed ]] && installed[$package]=yes
    done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
    for package in "${wanted[@]}"; do
        [[ -n ${installed[$package]:-} ]] || printf '%s\n' "$package"
    done
}

# Packages start their services when installed (haproxy does), unless this file says no.
guard_services() {
    if grep -qs 'lagwatch, while it installs' "$policy"; then
        as_root rm -f "$policy" # left by a run that was killed
    fi
    if [[ -e $policy && ! -e $saved_policy ]]; then
        as_root mv "$policy" "$saved_policy"
    fi
    guarding=yes
    printf '#!/bin/sh\n# lagwatch, while it installs packages\nexit 101\n' |
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

# Installs what the files name.
install_packages() {
    local -a missing
    mapfile -t missing < <(missing_packages "$@")
    if ((${#missing[@]} == 0)); then
        say "all packages are installed"
        return 0
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        die "not root and no sudo; install these yourself: ${missing[*]}"
    fi
    say "installing ${#missing[@]} packages: ${missing[*]}"
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

