#!/usr/bin/env bash
# Measures what docs/performance.md has measured, on this machine, and puts the numbers there: each block between
# `<!-- begin: ARGUMENTS -->` and `<!-- end -->` is what `pumice ARGUMENTS --markdown` prints. Wants an idle machine.
#
# tools/performance.sh [PATTERN [OPTION...]]  PATTERN: only blocks whose arguments match it, as grep -E does;
#                                             OPTION: for pumice, too, such as --repeats 3
# PUMICE=FILE tools/performance.sh            the command to run; without it build/release/pumice
#
# ARGUMENTS that begin with @SUITE run in the root of that Debian that tools/drivers.sh has made, on its Mesa, with
# this machine's OpenBLAS; where there is no such root, what the block has stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
page=docs/performance.md
pumice=${PUMICE:-build/release/pumice}
pattern=${1:-.}
shift || true
[ -x "$pumice" ] || { echo "performance.sh: there is no $pumice" >&2; exit 1; }

roots=${XDG_CACHE_HOME:-$HOME/.cache}/pumice/drivers

# Binary and OpenBLAS in the root of a suite.
prepare_root() {
    local blas to=$roots/$1/bench
    mkdir -p "$to/blas"
    cp "$pumice" "$to/pumice"
    # Reads to the end, lest ldconfig fail by a pipe that closed.
    blas=$(ldconfig -p | awk '/libopenblas.so.0/ && !found { print $NF; found = 1 }')
    [ -n "$blas" ] || return 0
    # shellcheck disable=SC2046 # one path a word
    cp -L "$blas" $(ldd "$blas" | awk '/gfortran|quadmath/ { print $3 }') "$to/blas/"
}

# run ARGUMENTS
run() {
    local suite=${1#@}
    if [ "$suite" = "$1" ]; then
        "$pumice" "$@"
        return
    fi
    shift
    prepare_root "$suite"
    chroot "$roots/$suite" /usr/bin/env LD_LIBRARY_PATH=/bench/blas HOME=/root \
        VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.json /bench/pumice "$@"
}

# Whether a block's first word names no root, or one that is there.
can_run() {
    case $1 in
        @*) [ -e "$roots/${1#@}/.complete" ] ;;
    esac
}

new=$(mktemp)
trap 'rm -f "$new"' EXIT
inside=0
while IFS= read -r line; do
    case "$line" in
        '<!-- end -->') inside=0 ;;
    esac
    [ "$inside" = 1 ] || printf '%s\n' "$line"
    case "$line" in
        '<!-- begin: '*' -->')
            arguments=${line#<!-- begin: }
            arguments=${arguments% -->}
            read -ra words <<<"$arguments"
            if grep -qE -- "$pattern" <<<"$arguments" && can_run "${words[0]}"; then
                echo "== pumice $arguments" >&2
                run "${words[@]}" --markdown "$@" </dev/null
                inside=1
            fi ;;
    esac
done <"$page" >"$new"
cat "$new" >"$page"
