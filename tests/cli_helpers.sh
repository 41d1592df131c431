# shellcheck shell=bash Sourced by the tests of the command, with its path and the source tree as arguments: a
# folder to work in, and what is expected of a call.
set -u
pumice=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
unset "${!PUMICE_@}"
failures=0
fail() { printf 'FAIL: %s\n' "$*"; failures=$((failures + 1)); }

# expect CODE PATTERN ARGUMENTS...: the exit code, and exactly one line on stderr, which begins "pumice: " and
# matches.
expect() {
    local code=$1 pattern=$2 got
    shift 2
    "$pumice" -q "$@" >out 2>err
    got=$?
    [ "$got" = "$code" ] || fail "pumice $*: exit code $got, not $code: $(cat err)"
    [ "$(wc -l <err)" = 1 ] || fail "pumice $*: $(wc -l <err) lines on stderr, not 1"
    grep -qE "^pumice: .*$pattern" err || fail "pumice $*: no /$pattern/ in: $(cat err)"
}

# good ARGUMENTS...: exit code 0; standard output is in `out`.
good() {
    "$pumice" "$@" >out 2>err || fail "pumice $*: exit code $?: $(tail -n 1 err)"
}

# has PATTERN: the last output has it.
has() { grep -qE -- "$1" out || fail "no /$1/ in the output: $(head -c 300 out)"; }
