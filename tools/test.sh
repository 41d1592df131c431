#!/usr/bin/env bash
# Installs what is missing, builds, runs every test. Arguments go to ctest (`tools/test.sh -R matmul`).
# The last line is `N passed, N failed`; the exit status is 0 when none failed.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

log=$build/test.log
status=0
ctest --preset release "$@" 2>&1 | tee "$log" || status=$?
# `Passed` ends a line of its test; whatever else ends one (Failed, Timeout, Not Run, Exception) is a failure
# but a skip.
results=$(grep -E '^ *[0-9]+/[0-9]+ Test +#' "$log" || true)
passed=$(grep -cE ' Passed +[0-9.]+ sec' <<< "$results" || true)
skipped=$(grep -cE '\*\*\*Skipped' <<< "$results" || true)
total=$(grep -cE . <<< "$results" || true)
if [ "$skipped" -gt 0 ]; then say "$skipped skipped"; fi
echo "$passed passed, $((total - passed - skipped)) failed"
[ "$status" -eq 0 ] && [ "$passed" -gt 0 ]
