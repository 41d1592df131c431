# shellcheck shell=bash
# Sourced by the scripts that install Debian packages. Expects `set -euo pipefail`.

say() { printf '== %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Prints those of the packages named that are not installed.
missing_of() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
    done
}

# apt-get, as root, without questions.
apt_get() {
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "packages are missing: run this as root, or install sudo"
        as_root=(sudo)
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@" >&2
}

# True when apt's lists know every package named; a fresh container's know none.
lists_know() {
    [ "$(apt-cache --no-all-versions show "$@" 2>/dev/null | grep -c '^Package:')" -ge $# ]
}

# Fetches apt's lists unless they know every package named.
refresh_lists() {
    lists_know "$@" && return
    apt_get update || say "apt-get update failed: trying with the lists that are here"
}
