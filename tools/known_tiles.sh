#!/usr/bin/env bash
# Measures tiles on this device three times and prints those that won at least twice, as rows for
# runtime/device/known_tiles.c. Wants an idle machine.
#
# tools/known_tiles.sh [RECIPE...]    what these ask for, and the usual shapes
# PUMICE=COMMAND tools/known_tiles.sh the command to run; without it build/release/pumice
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
read -ra pumice <<<"${PUMICE:-build/release/pumice}"
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
runs=3
for ((run = 0; run < runs; run++)); do
    for recipe in "" "$@"; do
        XDG_CACHE_HOME=$cache/$run "${pumice[@]}" bench tune ${recipe:+"$recipe"} --seconds 600 </dev/null
    done
    echo "end of a run"
done | awk -v runs="$runs" '
    # tuning: KIND [COUNT of ]MxNxK: a tile of RxC, RATE GFLOP/s, by rule RATE
    /^tuning: .* a tile of / && !/matrix units/ {
        sub(/^tuning: /, "")
        class = $0
        sub(/:.*/, "", class)
        tile = $0
        sub(/.* a tile of /, "", tile)
        sub(/,.*/, "", tile)
        in_run[class ";" tile] = 1 # once, however many recipes ask for it
    }
    /^end of a run/ {
        for (key in in_run) won[key]++
        delete in_run
    }
    END {
        names["AB"] = "AB"; names["AB^T"] = "ABT"; names["A^T B"] = "ATB"
        names["conv"] = "CONV"; names["conv weight"] = "CONV_WEIGHT"
        for (key in won) {
            if (2 * won[key] < runs) continue
            split(key, part, ";")
            sizes = kind = part[1]
            sub(/.* /, "", sizes)
            sub(/ [0-9]*x[0-9]*x[0-9]*$/, "", kind)
            count = 1
            if (kind ~ / [0-9]+ of$/) { count = kind; sub(/ of$/, "", count); sub(/.* /, "", count); sub(/ [0-9]+ of$/, "", kind) }
            gsub(/x/, ", ", sizes)
            gsub(/x/, ", ", part[2])
            printf "    {{PM_TILED_%s, %s, %s}, {%s}},\n", names[kind], count, sizes, part[2]
        }
    }' | sort
