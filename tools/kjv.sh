#!/usr/bin/env bash
# Writes the King James Bible as one text file, one verse a line, without the verses' numbers: about 4 MB of
# English in 63 different characters, in the public domain. The text is Debian's package bible-kjv-text, whose
# reader bible-kjv prints it; both are installed when they are missing.
#
# The recipes kjv-* learn it, and `pumice eval` scores their models on the part of it that they did not see.
#
# tools/kjv.sh [FILE]     FILE: out/data/kjv.txt, where the data set "kjv" is looked for. What is there stays.
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tools/packages.sh
. "$root/tools/packages.sh"

verses=31102
characters=63

# Says what a file has, and whether that is the whole text.
check_text() {
    local lines different
    lines=$(wc -l < "$1")
    different=$(od -An -v -tu1 -w1 "$1" | sort -u | wc -l)
    say "$2: $lines verses, $(wc -c < "$1") bytes, $different different characters"
    [ "$lines" -eq "$verses" ] && [ "$different" -eq "$characters" ]
}

install_reader() {
    local missing
    bible -f gen1:1 > /dev/null 2>&1 < /dev/null && return
    command -v dpkg-query >/dev/null || die "this takes the text from Debian's and Ubuntu's package bible-kjv"
    mapfile -t missing < <(missing_of bible-kjv bible-kjv-text)
    say "installing with apt-get: ${missing[*]}"
    refresh_lists "${missing[@]}"
    apt_get install --no-install-recommends "${missing[@]}" || die "apt-get could not install ${missing[*]}"
    command -v bible >/dev/null || die "the package bible-kjv has no command 'bible'"
}

[ $# -le 1 ] || die "usage: tools/kjv.sh [FILE]"
target=${1:-$root/out/data/kjv.txt}
if [ -e "$target" ]; then
    check_text "$target" "$target is there" || die "$target is not the whole text: remove it and run this again"
    exit 0
fi

install_reader
mkdir -p "$(dirname "$target")"
beside=$(mktemp "$target.XXXXXX")
trap 'rm -f "$beside"' EXIT
# A line is a reference, a space and the verse: "1Sm3:4 That ...". With -f each verse is one line.
bible -f -l9999 gen1:1-rev22:21 | sed -E 's/^[^:]*:[0-9]+ +//' > "$beside"
check_text "$beside" "$target" || die "that should be $verses verses of $characters characters; nothing was written"
chmod 644 "$beside"
mv "$beside" "$target"
