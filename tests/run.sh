#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, runs every test that fits in about 25 minutes on 2 cores. tests/README.md
# names the long suites. The last line is `N passed, N failed, N skipped`.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
export me=tests
# shellcheck source=packaging/apt.sh
source "$root/packaging/apt.sh"

passed=0
failed=0
skipped=0

usage() {
    cat <<END
usage: tests/run.sh [SUITE...]

Suites, all by default and in this order:
  format        clang-format and shellcheck
  unit          GoogleTest, built with ASan and UBSan
  integration   real servers and the sanitized lagwatch; the lab's own tests
  quickstart    packaging/quickstart.sh --once, the release build
Not run by default:
  thread        the unit tests once more, built with TSan
  bench         tests/bench/run: numbers beside those of peers
  long          tests on real servers that take minutes each
  incident      tests/incident/run.py: the incident, replayed; who is paged when
END
}

# Adds the counts of a suite's closing line `N passed, N failed, N skipped`.
add_counts() {
    local line=$1
    if [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)? ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
    else
        say "no closing line: counted as a failure"
        failed=$((failed + 1))
    fi
}

# Runs a suite that counts for itself, its output to a log too. One that was ended, or died, before it had run all is a
# failure, whatever it had counted.
counted() {
    local output=$1 before=$failed status=0
    shift
    "$@" 2>&1 | tee "$output" || status=$?
    add_counts "$(tail -n 1 "$output")"
    if ((status != 0 && failed == before)); then
        say "ended with $status before its end: counted as a failure"
        failed=$((failed + 1))
    fi
}

# One check that passes or fails as a whole.
check() {
    local name=$1
    shift
    if "$@"; then
        printf 'ok   %s\n' "$name"
        passed=$((passed + 1))
    else
        printf 'FAIL %s\n' "$name"
        failed=$((failed + 1))
    fi
}

skip() {
    printf 'skip %s  [%s]\n' "$1" "$2"
    skipped=$((skipped + 1))
}

configure_and_build() {
    local directory=$1 sanitizers=$2
    shift 2
    # -g1: lines for the sanitizers' reports, and a third less to compile than -g.
    long_step cmake -S "$root" -B "$directory" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-O1 \
        -DCMAKE_CXX_FLAGS_DEBUG=-g1 -DLAGWATCH_SANITIZE="$sanitizers" || return 1
    long_step cmake --build "$directory" --target "$@"
}

formatted() {
    git -C "$root" ls-files -z '*.cpp' '*.h' | (cd "$root" && xargs -0 clang-format --dry-run -Werror)
}

shell_clean() {
    local -a scripts
    mapfile -t scripts < <(cd "$root" && git ls-files '*.sh' .ci/run tests/lab/run)
    (cd "$root" && shellcheck -x "${scripts[@]}")
}

suite_format() {
    if ! git -C "$root" rev-parse >/dev/null 2>&1; then
        skip format "not a git checkout"
        return
    fi
    if command -v clang-format >/dev/null; then check format.clang formatted; else skip format.clang "no clang-format"; fi
    if command -v shellcheck >/dev/null; then check format.shell shell_clean; else skip format.shell "no shellcheck"; fi
}

# GoogleTest's own summary as the common closing line.
run_gtest() {
    local binary=$1 output=$2 status=0 ran bad left
    timeout 900 "$binary" --gtest_brief=1 >"$output" 2>&1 || status=$?
    grep -v '^ts=' "$output" | tail -n 200
    ran=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) tests*\..*/\1/p' "$output")
    bad=$(sed -n 's/^ *\([0-9]*\) FAILED TESTS*$/\1/p' "$output")
    left=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) tests*,.*/\1/p' "$output")
    if ((status != 0 && ${bad:-0} == 0)); then bad=1; fi # a crash, or a sanitizer's report
    add_counts "${ran:-0} passed, ${bad:-0} failed, ${left:-0} skipped"
}

suite_unit() {
    say "building with ASan and UBSan"
    if ! configure_and_build "$root/build-asan" address,undefined lagwatch_tests lagwatch; then
        check unit.build false
        return
    fi
    run_gtest "$root/build-asan/tests/lagwatch_tests" "$root/build-asan/unit.log"
}

suite_thread() {
    say "building with TSan"
    if ! configure_and_build "$root/build-tsan" thread lagwatch_tests; then
        check thread.build false
        return
    fi
    run_gtest "$root/build-tsan/tests/lagwatch_tests" "$root/build-tsan/unit.log"
}

# integration/run.py with the sanitized lagwatch: a log's name, and its arguments.
on_real_servers() {
    local output=$root/build-asan/$1.log
    if [[ ! -x $root/build-asan/lagwatch ]]; then
        say "building with ASan and UBSan"
        if ! configure_and_build "$root/build-asan" address,undefined lagwatch; then
            check "$1.build" false
            return
        fi
    fi
    counted "$output" env LAGWATCH_BIN="$root/build-asan/lagwatch" LAGWATCH_SANITIZED=1 \
        timeout 3000 python3 -B "$root/tests/integration/run.py" "${@:2}"
}

suite_integration() {
    on_real_servers integration
}

suite_long() {
    on_real_servers long --long
}

suite_quickstart() {
    check quickstart.once "$root/packaging/quickstart.sh" --once
}

suite_bench() {
    say "building the benchmarks"
    long_step cmake -S "$root" -B "$root/build-bench" -G Ninja -DCMAKE_BUILD_TYPE=Release || return
    long_step cmake --build "$root/build-bench" --target lagwatch lagwatch_bench || return
    check bench.run env LAGWATCH_BIN="$root/build-bench/lagwatch" LAGWATCH_BENCH_BIN="$root/build-bench/tests/bench/lagwatch_bench" \
        "$root/tests/bench/run"
}

suite_incident() {
    local output=$root/build/incident.log
    say "building"
    if ! long_step cmake -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=Release ||
        ! long_step cmake --build "$root/build" --target lagwatch; then
        check incident.build false
        return
    fi
    counted "$output" env LAGWATCH_BIN="$root/build/lagwatch" timeout 3000 python3 -B "$root/tests/incident/run.py"
}

main() {
    local -a suites=("$@")
    local suite
    if [[ ${1:-} == -h || ${1:-} == --help ]]; then
        usage
        exit 0
    fi
    ((${#suites[@]})) || suites=(format unit integration quickstart)
    trap clean_up EXIT
    install_packages "$root/packaging/build-deps.txt" "$root/tests/deps.txt"
    for suite in "${suites[@]}"; do
        if ! declare -F "suite_$suite" >/dev/null; then
            usage >&2
            exit 2
        fi
        say "suite $suite"
        "suite_$suite"
    done
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    ((failed == 0 && passed > 0))
}

main "$@"
