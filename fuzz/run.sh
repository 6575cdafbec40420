#!/bin/sh
# Builds the fuzzers and runs one after the other: run.sh SECONDS [TARGET ...]. What `make fuzz` calls.
#
# stdout has a line a target: inputs tried, edges of the program seen (cov), how often each in steps (ft), inputs kept. What
# libFuzzer says goes into target/fuzz/TARGET.log, inputs that a target fails on into fuzz/artifacts/TARGET/.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
# The program's own folder: all that needs no counters is built there already.
target=$(realpath -m "${CARGO_TARGET_DIR:-$project/target}")
cd "$project/fuzz"
seconds=$1
shift
[ $# -gt 0 ] || set -- $(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"$/\1/p' Cargo.toml)

CARGO_TARGET_DIR=$target RUSTC_WRAPPER=$PWD/instrument.sh "${CARGO:-cargo}" build --release --bins >&2

failed=0
for name in "$@"; do
    kept=$target/fuzz/$name
    log=$target/fuzz/$name.log
    mkdir -p "$kept" "artifacts/$name"
    dictionary=
    [ ! -f "dictionaries/$name" ] || dictionary=-dict=dictionaries/$name
    # As many bytes and as long as a fuzzer may take before that is a fault of the program.
    if "$target/release/$name" "$kept" "corpus/$name" $dictionary -artifact_prefix="artifacts/$name/" \
        -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 ${FUZZ_OPTIONS:-} >"$log" 2>&1; then
        end=sound
    else
        end="FAILS: see $log"
        failed=1
    fi
    grep -aE '^#[0-9]+' "$log" | tail -n 1 |
        awk -v name="$name" -v end="$end" '{
            for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "ft:") ft = $(i + 1)
                if ($i == "corp:") corp = $(i + 1); if ($i == "exec/s:") speed = $(i + 1) }
            printf "%-13s %12s inputs  %6s/s  cov %6s  ft %6s  kept %s  %s\n", name, substr($1, 2), speed, cov, ft, corp, end }'
done
exit $failed
