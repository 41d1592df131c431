#!/usr/bin/env bash
# Measures what docs/performance.md has measured, on this machine, and puts the numbers there: each block between
# `<!-- begin: ARGUMENTS -->` and `<!-- end -->` is what `pumice ARGUMENTS --markdown` prints. Wants an idle machine.
#
# tools/performance.sh [PATTERN [OPTION...]]  PATTERN: only blocks whose arguments match it, as grep -E does;
#                                             OPTION: for pumice, too, such as --repeats 3
# PUMICE=FILE tools/performance.sh            the command to run; without it build/release/pumice
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
page=docs/performance.md
pumice=${PUMICE:-build/release/pumice}
pattern=${1:-.}
shift || true
[ -x "$pumice" ] || { echo "performance.sh: there is no $pumice" >&2; exit 1; }

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
            if grep -qE -- "$pattern" <<<"$arguments"; then
                echo "== pumice $arguments" >&2
                read -ra words <<<"$arguments"
                "$pumice" "${words[@]}" --markdown "$@" </dev/null
                inside=1
            fi ;;
    esac
done <"$page" >"$new"
cat "$new" >"$page"
