#!/usr/bin/env bash
# drivers_baseline.sh PUMICE SOURCE: what tools/drivers.sh holds against its baseline is what a compiler said, and it
# fails for one more spill, for an estimate a tenth higher, and for nothing less. With one of AMD's compilers;
# exits 77 (skipped) without.
set -euo pipefail
pumice=$1
source=$2
icds=(/usr/share/vulkan/icd.d/radeon_icd*.json)
if [ ! -e "${icds[0]}" ]; then
    echo "AMD's driver is not installed (package mesa-vulkan-drivers): skipped"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/results"
measured=$folder/results/navi21.compile
env -u PUMICE_LIMIT -u PUMICE_OFF -u PUMICE_DEVICE MESA_SHADER_CACHE_DISABLE=1 RADV_FORCE_FAMILY=navi21 \
    VK_ICD_FILENAMES="${icds[0]}" "$pumice" check --compile --quiet --op matmul >"$folder/said"
cp "$folder/said" "$measured"

compare() { bash "$source/tools/drivers.sh" --results "$folder/results" --baseline "$folder/baseline" "$@"; }

# passes WHY, fails WHY WORDS: what the comparison makes of the results and the baseline as they are.
passes() {
    compare >"$folder/out" 2>&1 || { cat "$folder/out"; echo "FAIL: $1"; exit 1; }
}
fails() {
    local status=0
    compare >"$folder/out" 2>&1 || status=$?
    if [ "$status" != 1 ] || ! grep -q -- "$2" "$folder/out"; then
        cat "$folder/out"
        echo "FAIL: $1: status $status"
        exit 1
    fi
}

# change COLUMN EXPRESSION: of the slowest kernel's row of the baseline, v being what it was.
change() {
    awk -F'\t' -v OFS='\t' -v column="$1" -v slowest="$slowest" '$3 == slowest { v = $column; $column = '"$2"' } { print }' \
        "$folder/good" >"$folder/baseline"
    if cmp -s "$folder/good" "$folder/baseline"; then echo "FAIL: nothing to change"; exit 1; fi
}

compare --update >"$folder/out"
grep -q '^[1-9][0-9]* kernels compared with the baseline, 0 got worse' "$folder/out"
cp "$folder/baseline" "$folder/good"
awk -F'\t' '!/^#/ && $7 > 0 { n++ } END { exit n < 3 }' "$folder/good" || { echo "FAIL: no estimates"; exit 1; }
slowest=$(awk -F'\t' '!/^#/ && $7 > most { most = $7; name = $3 } END { print name }' "$folder/good")
awk '$1 ~ /^matmul/ && $13 > 0.3 && $13 <= 1 && $14 > 0 { n++ } END { exit n < 3 }' "$folder/said" ||
    { echo "FAIL: no inner loops"; exit 1; }

change 7 'v / 1.12'
fails "an estimate 12 % higher" "^+ navi21.$slowest.exact estimate"
change 7 'v / 1.08'
passes "an estimate 8 % higher"
change 2 '"another driver"'
sed -i 's/\t[0-9.e+]*$/\t1/' "$folder/baseline"
awk -F'\t' -v slowest="$slowest" '$3 == slowest || /^#/' "$folder/baseline" >"$folder/other" && mv "$folder/other" "$folder/baseline"
passes "an estimate of another driver's"

# Four registers that spilled, in one kernel.
cp "$folder/good" "$folder/baseline"
awk '$1 ~ /^matmul/ && !done { $6 = 4; done = 1 } { print }' "$folder/said" >"$measured"
fails "a kernel that spills" "^+ navi21.matmul.*exact spills 4"
grep -v "	matmul" "$folder/good" >"$folder/baseline"
fails "a new kernel that spills" "^new, with spills: .*matmul"
cp "$folder/said" "$measured"
passes "a new kernel that does not spill"
echo "the baseline is kept"
