#!/usr/bin/env bash
# The command as its users meet it: every misuse gets one line and the right exit code, help and completion
# come from the same tables, and a whole small life (train, stop, resume, sample, inspect, judge) works on
# data made here. Arguments: the command, and the source tree.
. "$(dirname "${BASH_SOURCE[0]}")/cli_helpers.sh"

# ---- Misuse, without a device ------------------------------------------------------------------------------

expect 2 'no verb'
expect 2 'did you mean train' trian
expect 2 'did you mean --minutes' train --minuts 3
expect 2 'before the verb' --steps 3 train fashion-tiny
expect 2 'did you mean fashion-tiny' train fashion-tinny
expect 2 'did you mean training.batch' train fashion-tiny --set training.batsh=3
expect 2 'training.batch' train fashion-tiny --set training.batch=no
expect 2 'needs RECIPE' train
expect 2 'did you mean matmul' check --op mamul
expect 2 'did you mean attention' bench atention 1 2 3 4
expect 2 'M N K' bench matmul 3 4
expect 2 'takes none' devices more
expect 2 'needs MODEL' sample
expect 2 'needs an argument' sample x --steps
expect 2 'takes no argument' sample x --labels=yes
for number in 5x ' 5' -5 0x10 1e3 '' 99999999999999999999; do
    expect 2 'whole number from 1' sample x --steps "$number"
done
for number in nan inf 1x '' 101 -0.1; do expect 2 'a number from 0 to 100' sample x --guidance "$number"; done
expect 2 'one of ddim, ddpm' sample x --sampler euler
expect 2 'whole number' sample x --seed -1
expect 7 'no such file' sample nothing-here
expect 7 'No such file' sample ./nothing-here.safetensors
expect 7 'No such file' train --resume nothing
expect 7 'nothing' train fashion-tiny --data nothing
expect 7 'no-dir/x.log' recipes --log no-dir/x.log
PUMICE_PRECISION=double expect 2 'PUMICE_PRECISION must be one of exact, f32, fast' recipes
expect 2 '--limit: no limit "storage-rang"; did you mean storage-range' devices --limit storage-rang=8MiB
expect 2 '--limit: storage-range needs a value' recipes --limit storage-range
for size in 8MB 8.5MiB -8MiB 0x10 '' ' 8' 99999999999999999999 17179869184GiB; do
    expect 2 'storage-range must be a size such as' recipes --limit "storage-range=$size"
done
expect 2 'storage-range must be at least 4KiB, not 0' recipes --limit storage-range=0
expect 2 'shared must be at least 16KiB' recipes --limit invocations=128,shared=8KiB
expect 2 'invocations must be a whole number' recipes --limit invocations=128KiB
expect 2 'submit must be at most 1000' recipes --limit submit=1001
for tile in 16 16x 6x1 68x1 4x9 32x4 8x2x1; do expect 2 'tile must be rows' recipes --limit "tile=$tile"; done
expect 2 'subgroup must be a power of two, not 48' recipes --limit subgroup=48
expect 2 'subgroup must be at most 128' recipes --limit subgroup=256
expect 2 'no limit ""' recipes --limit shared=16KiB,
expect 2 '--off: nothing "texel-input" to turn off; did you mean texel-inputs' recipes --off texel-input
expect 2 'nothing "" to turn off' recipes --off even-views,
PUMICE_LIMIT=tile=no expect 2 'PUMICE_LIMIT: tile must be' recipes
PUMICE_OFF=al expect 2 'PUMICE_OFF: nothing "al"' recipes
printf 'what is this' >unknown.bin
: >empty
expect 3 'no file that pumice knows' inspect unknown.bin
expect 3 'no file that pumice knows' inspect empty
printf '{"kind": "image-diffusion", "nme": 1}' >misspelt.json
printf '{"kind": ' >cut.json
expect 3 'unknown key nme; did you mean name' inspect misspelt.json
expect 3 'cut.json' train ./cut.json
VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent expect 4 'driver' devices
VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent expect 4 'driver' check --quick
"$pumice" recipes >/dev/full 2>err
[ $? = 7 ] || fail "a full standard output went unnoticed"

# ---- Help, completion, manual, lists -----------------------------------------------------------------------

good --version && has '^pumice [0-9]+\.[0-9]+\.[0-9]+$'
good --help && has '^  sample '
verbs=$(sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' out)
[ "$(wc -w <<<"$verbs")" -ge 10 ] || fail "few verbs in the help: $verbs"
for verb in $verbs; do
    good "$verb" --help && has "^Usage: pumice $verb" && has '^Examples:' && has '--device D'
    awk 'length > 110' out | grep -q . && fail "pumice $verb --help has lines of more than 110 characters"
    good manual && has "^\.SH PUMICE ${verb^^}"
done
good completion
complete_words() { # what bash offers after these words
    bash -c '. ./out; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pumice; echo "${COMPREPLY[*]}"' bash "$@"
}
[ "$(complete_words pumice sa)" = sample ] || fail "completion of a verb"
[ "$(complete_words pumice sample --guid)" = --guidance ] || fail "completion of an option"
[ "$(complete_words pumice sample --sampler ddi)" = ddim ] || fail "completion of a choice"
[ "$(complete_words pumice train fashion-t)" = fashion-tiny ] || fail "completion of a recipe"
good recipes && has '^fashion-tiny '
good recipes --keys && has 'training.batch'
good recipes fashion-tiny && cp out recipe.json
good inspect recipe.json && has 'recipe.json: recipe'

# What `systems` calls proven is proven by a test that exists.
good systems --json
proofs=0
while read -r test function; do
    proofs=$((proofs + 1))
    if [ "$test" = ops ]; then
        grep -q "X($function)" "$source/runtime/ops/table.h" || fail "systems names an operator that is not there: $function"
    else
        grep -q "^static void $function(" "$source/tests/test_$test.c" || fail "systems names no test: $test $function"
    fi
done < <(sed -nE 's/^ +"([a-z_]+ [a-z0-9_]+)",?$/\1/p' out)
[ "$proofs" -ge 20 ] || fail "only $proofs proofs were found in the output of systems"

# ---- A device ----------------------------------------------------------------------------------------------

if ! "$pumice" devices >out 2>err; then
    echo "no Vulkan device: $(cat err)"
    [ "$failures" = 0 ] && exit 77
    exit 1
fi
has '<- used' && has 'driver' && has 'memory'
good devices --json && has '"chosen": true'
expect 4 'matches' devices --device no-such-device
expect 2 'limit storage-range=1024GiB is above what .* has: ' devices --limit storage-range=1024GiB
# Too little memory: exit code 6 before anything is submitted, and a batch that then fits.
expect 6 'batch=8 would fit' sample fashion-small -n 64 --steps 1 --limit memory=24MiB -o small.png
good sample fashion-small -n 8 --batch 8 --steps 1 --limit memory=24MiB -o small.png
expect 2 'limit invocations=1000000 is above' check --op binary --limit invocations=1000000
expect 2 'limit subgroup=128: (no size can be asked for|subgroups of)' devices --limit subgroup=128
good devices --limit storage-range=8MiB,invocations=128 --off few-barriers,memory-reuse &&
    has 'a storage binding of 8\.0 MiB' && has 'workgroups of 128' && has '^  few-barriers +off' &&
    has '^  submit-merging +on' && has 'limited to storage-range=8MiB, invocations=128; off: memory-reuse, few-barriers$'
PUMICE_LIMIT=storage-range=8MiB,shared=16KiB PUMICE_OFF=even-views good devices --limit storage-range=16MiB --json &&
    has '"max_storage_range": 16777216' && has '"max_shared_bytes": 16384' && has '"few-barriers": "on"'
good check --op binary && has '^ok   binary .* exact, .* f32' && has 'cases are right' && has '^arithmetic: '
has 'fma\(\) rounds (once|twice)' && has 'denormal operands' && has '^limits: ' && has '^switched off: nothing' && has '^driver: '
good check --op binary --precision f32 --large --json && has '"rounds": true' && has '"wrong": 0'
good check --exact && has 'the same bits as everywhere'
expect 7 'no model of this name' check --finite no-such-thing
good bench matmul 17 33 9 --repeats 2 --json && has '"name": "matmul 17 33 9"' && has '"median"|"seconds"'
good bench conv 1 5 7 3 4 1 --backward --repeats 1 && has '^conv 1 5 7 3 4 1 ' && has '^conv .*, d x ' && has ', d weight '
good bench attention 1 5 2 8 --backward --repeats 1 && has '^attention 1 5 2 8, and all gradients '
good bench matmul 3 5 7 --layout ABT --backward --repeats 1 --markdown -q && has '^\| matmul ABT 3 5 7, d a \|' && has '^\|---\|---\|'

# Against an earlier result: the same, much slower, much faster, unknown, from elsewhere, malformed.
good bench matmul 40 40 40 --repeats 3 --json && cp out now.json
scaled() { sed -E "s/\"(seconds|least|most)\": .*,/\"\1\": $1,/" now.json; }
scaled 1e-9 >fast.json && scaled 1e9 >slow.json
"$pumice" -q bench matmul 40 40 40 --repeats 3 --baseline fast.json >out 2>err
[ $? = 1 ] || fail "a matmul that has become slower is not noticed"
has ' SLOWER$' && has '^beyond the spread: 0 better, 1 worse; within it: 0; not measured before: 0$'
grep -q '1 of 1 rows are worse' err || fail "nobody said what is worse"
good bench matmul 40 40 40 --repeats 3 --baseline slow.json -q && has ' faster$'
good bench matmul 40 40 40 --repeats 3 --baseline slow.json -q --json && has '"verdict": "better"' && has '"ratio": '
good bench matmul 40 40 41 --repeats 3 --baseline slow.json -q && has 'before: no such row'
sed -E 's/"device": .*/"device": "another",/' slow.json >elsewhere.json
good bench matmul 40 40 40 --repeats 3 --baseline elsewhere.json && grep -q 'was another one before: another' err || fail "a device from elsewhere"
expect 7 'nothing.json' bench matmul 40 40 40 --baseline nothing.json
printf '{"results": 1}' >no.json
expect 3 'no result of' bench matmul 40 40 40 --baseline no.json
expect 2 'did you mean roof' bench rof
expect 2 'takes no more words' bench roof 3
good bench roof --repeats 1 --json && has '"name": "roof: multiply and add"' && has '"name": "roof: fma"' && has '"gbytes_per_second"'
expect 2 'did you mean text' bench suite txt
expect 2 'did you mean fashion-tiny' bench memory fashion-tinny
good bench memory fashion-tiny --batch 4 --json -q && has '"name": "memory of fashion-tiny, batch 4"' && has '"activation_bytes": '
sed -E 's/"bytes": .*,/"bytes": 1000,/' out >small.json
"$pumice" -q bench memory fashion-tiny --batch 4 --baseline small.json >out 2>err
[ $? = 1 ] || fail "memory that has grown is not noticed"
has ' LARGER$'
good bench suite matmul --repeats 1 && has '^matmul 1024, A\^T B .* of the best layout'
grep -q '^OpenBLAS sgemm 1024, AB, ' out || grep -q 'OpenBLAS.* is left out' err || fail "neither OpenBLAS nor a word about it"
good bench ops transpose --repeats 1 -q && has '^transpose .* of copy roof'

# ---- A small life ------------------------------------------------------------------------------------------

# be32 N: four bytes, highest first. idx_images N FILE, idx_labels N FILE: pictures of 8 x 8, of two classes.
be32() { printf '%b' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 >> 24)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)))"; }
idx_images() {
    { printf '\0\0\x08\x03'; be32 "$1"; be32 8; be32 8
      for ((i = 0; i < $1; i++)); do printf "%0$((32 + i % 2 * 16))d%$((32 - i % 2 * 16))s" "$i" ''; done; } >"$2"
}
idx_labels() {
    { printf '\0\0\x08\x01'; be32 "$1"; for ((i = 0; i < $1; i++)); do if ((i % 2)); then printf "\1"; else printf "\0"; fi; done; } >"$2"
}
mkdir data
idx_images 32 data/train-images-idx3-ubyte && idx_labels 32 data/train-labels-idx1-ubyte
idx_images 16 data/t10k-images-idx3-ubyte && idx_labels 16 data/t10k-labels-idx1-ubyte
good inspect data/train-images-idx3-ubyte && has '32x8x8'

tiny=(--data data -s unet.base=8 -s unet.multipliers=1,2 -s unet.attention=[] -s training.batch=4 -s training.warmup=1
    -s training.decay=constant -s sampling.steps=3 --sample-every 3 --save-every 2 -q)
good train fashion-tiny "${tiny[@]}" --steps 6 --out whole && has '^whole/model.safetensors$'
for file in checkpoint.safetensors model.safetensors log.jsonl loss.svg samples-000003.png samples-000006.png; do
    [ -s "whole/$file" ] || fail "training left no $file"
done
grep -q '"step":6,"loss":' whole/log.jsonl || fail "the last step is not in the log"
grep -q '<polyline' whole/loss.svg || fail "the curve has no line"

# Where the first NaN comes from: from nowhere here; from a weight whose bits are overwritten.
good check --finite whole/model.safetensors --data data && has '^all finite: '
good check --finite fashion-tiny --data data --json && has '"finite": true'
{ head -c -4 whole/model.safetensors; printf '\0\0\300\177'; } >nan.safetensors
"$pumice" -q check --finite nan.safetensors --data data >out 2>err
[ $? = 1 ] || fail "a model with a NaN is finite"
has '^sampling: .* has NaN at element [0-9]+ .* before anything is computed; the first to read it is node [0-9]+, '

# Half of it, then the rest: the same bits, and a log that goes on.
good train fashion-tiny "${tiny[@]}" --steps 3 --out half
good train --resume half --steps 6 -q
cmp whole/model.safetensors half/model.safetensors || fail "a resumed run differs"
cmp whole/checkpoint.safetensors half/checkpoint.safetensors || fail "the checkpoint of a resumed run differs"
grep -q '"step":3,' half/log.jsonl && grep -q '"step":6,' half/log.jsonl || fail "the log of a resumed run has a gap"
good train fashion-tiny "${tiny[@]}" --steps 6 --out other --seed 1
cmp -s whole/model.safetensors other/model.safetensors && fail "another seed gives the same model"
expect 2 'holds a run already' train fashion-tiny "${tiny[@]}" --out whole
expect 2 'not fashion' train fashion --resume whole
expect 3 'trained with batch 4' train --resume whole --set training.batch=8 --steps 9
expect 7 'cannot be made' train fashion-tiny "${tiny[@]}" --out /proc/nowhere

# SIGINT and SIGTERM end a run well.
for signal in INT TERM; do
    "$pumice" train fashion-tiny "${tiny[@]}" --steps 10000000 --sample-every 0 --out "stopped-$signal" >out 2>err &
    child=$!
    for ((i = 0; i < 300; i++)); do [ -s "stopped-$signal/log.jsonl" ] && break; sleep 0.1; done
    kill -s "$signal" "$child"
    wait "$child" || fail "SIG$signal: exit code $?"
    good inspect "stopped-$signal/checkpoint.safetensors" && has 'checkpoint of recipe fashion-tiny'
done
good train --resume stopped-INT --minutes 0.02 --log events.jsonl && has model.safetensors
grep -q 'go on with: pumice train --resume stopped-INT' err || fail "nobody said how to go on"
grep -q '"event":"result"' events.jsonl && grep -q '"event":"start"' events.jsonl || fail "--log has no start or result"

# What sample writes, inspect reads.
good sample whole/model.safetensors -n 5 -c 1,0 --seed 7 --guidance 1.5 --preview 2 --labels -o five.png && has '^five.png$'
[ -s five.preview.png ] || fail "there is no preview"
good inspect five.png && has 'class: 1, 0$' &&
    has 'Steps: 3, Sampler: ddim, CFG scale: 1.5, Seed: 7, Size: 8x8, Model: fashion-tiny,.*Version: pumice '
PUMICE_SEED=7 good sample whole/model.safetensors -n 5 -c 1,0 --guidance 1.5 --labels -o again.png
cmp five.png again.png || fail "the seed of the environment gives another picture"
good sample whole/model.safetensors -n 3 -c 1 -q --batch 2 --json -o batch.png && has '"pictures": 3'
good sample whole/checkpoint.safetensors -n 2 --sampler ddpm --steps 4 -o ddpm.png
(cd data && "$pumice" sample ../whole/model.safetensors -n 2 -q >/dev/null && [ -s fashion-tiny-0.png ]) || fail "no default name"
rm -f data/*.png
expect 2 'no class "shoe"' sample whole/model.safetensors -c shoe
expect 2 'no class "2"' sample whole/model.safetensors -c 2
expect 2 '1001 steps' sample whole/model.safetensors --steps 1001
expect 7 'no-dir' sample whole/model.safetensors -o no-dir/x.png
good inspect whole/model.safetensors && has 'model of recipe fashion-tiny' && has 'step 6' && has ' F32 '
good inspect whole/checkpoint.safetensors --all --json && has '"kind": "checkpoint"' && has 'adam.m.'
head -c 3000 whole/model.safetensors >cut.safetensors
head -c 200 five.png >cut.png
expect 3 cut.safetensors sample cut.safetensors
expect 3 cut.safetensors inspect cut.safetensors
expect 3 cut.png inspect cut.png
head -c 4096 /dev/zero >zero.safetensors
expect 3 zero.safetensors sample zero.safetensors

# A classifier, and what it says of the pictures.
good train fashion-classifier --data data -s classifier.base=4 -s classifier.features=4 -s training.batch=8 \
    -s training.warmup=1 --steps 20 --out judge -q && has '^test accuracy [0-9.]+ %$'
good eval judge/model.safetensors -q && has 'of 16 pictures'
good eval whole/model.safetensors --classifier judge/model.safetensors -n 6 --guidance 1,2 -q &&
    has 'drawn, guidance 1 ' && has 'drawn, guidance 2 ' && has 'real, the training split'
good eval whole/model.safetensors --classifier judge/model.safetensors -n 6 --metric accuracy --markdown -q &&
    has '^\| drawn, guidance 2 '
expect 2 'is no classifier' eval whole/model.safetensors --classifier whole/model.safetensors
expect 2 'is a classifier' sample judge/model.safetensors
good bench sample whole/model.safetensors --batch 2 --repeats 1 -q && has "of this device's matmul rate"
good bench train fashion-tiny --data data --batch 2 --repeats 1 --json -q && has '"of_matmul_rate"'
good bench start fashion-tiny --data data --batch 2 --repeats 1 --json -q && has '"beside_step": ' && has '"name": "start of fashion-tiny, beside a step"'

[ "$failures" = 0 ] && echo "all is well"
[ "$failures" = 0 ]
