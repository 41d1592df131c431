#!/usr/bin/env bash
# Text by the command: a whole small life (train on files of one's own, stop, resume, continue, fill, judge) and
# every misuse. Arguments: the command, and the source tree.
. "$(dirname "${BASH_SOURCE[0]}")/cli_helpers.sh"

# ---- A text of one's own -----------------------------------------------------------------------------------

mkdir -p notes/more
for ((i = 0; i < 60; i++)); do printf 'stone %d floats on the sea, and the sea is deep.\n' "$((i % 7))"; done >notes/a.txt
for ((i = 0; i < 60; i++)); do printf 'the light of day number %d fell on a stone.\n' "$((i % 5))"; done >notes/more/b.txt
printf 'no\0text' >notes/picture.bin

tiny=(--data notes -s transformer.context=24 -s transformer.width=16 -s transformer.layers=1 -s transformer.heads=2
    -s training.batch=4 -s training.warmup=1 -s training.sample_every=0 -q)
good train kjv-ar-tiny "${tiny[@]}" --steps 6 --out ar && has '^ar/model.safetensors$'
good train kjv-masked-tiny "${tiny[@]}" --steps 6 --out masked && has '^masked/model.safetensors$'
grep -q '"tokens":576' ar/log.jsonl || fail "the log does not count tokens"
[ -s ar/samples-000006.txt ] && [ -s masked/samples-000006.txt ] || fail "no samples of text were written"

# Half of it, then the rest: the same bits.
good train kjv-masked-tiny "${tiny[@]}" --steps 3 --out half
good train --resume half --steps 6 -q
cmp masked/checkpoint.safetensors half/checkpoint.safetensors || fail "a resumed run of text differs"
good train kjv-ar-tiny "${tiny[@]}" --steps 2 -s data.tokenizer=bytes --out bytes
good inspect bytes/model.safetensors && has 'text of 256 kinds of tokens, 24 at once'
expect 7 'no-such' train kjv-ar-tiny "${tiny[@]}" --data no-such --out x
expect 3 'too few' train kjv-ar-tiny "${tiny[@]}" -s transformer.context=60000 --out x
expect 2 'transformer.masked|did you mean' train kjv-ar-tiny "${tiny[@]}" -s transformer.maskd=1 --out x
expect 2 'sampling.steps is not for models of kind text' train kjv-ar-tiny -s sampling.steps=3 --out x
(unset PUMICE_DATA; HOME=$work XDG_DATA_HOME=$work "$pumice" -q train kjv-ar-tiny --out x 2>err && fail "kjv was found"
 grep -q 'tools/kjv.sh' err || fail "nobody says how to get kjv: $(cat err)")

# ---- Left to right -----------------------------------------------------------------------------------------

good sample ar/model.safetensors --prompt 'the sea' --length 40 -q
[ "$(head -c 7 out)" = 'the sea' ] && [ "$(wc -m <out)" = 48 ] || fail "a continuation is not prompt and 40 letters: $(cat out)"
cp out first
good sample ar/model.safetensors --prompt 'the sea' --length 40 -q && cmp out first || fail "the same seed gives another text"
good sample ar/model.safetensors --prompt 'the sea' --length 40 -q --seed 1 && cmp -s out first && fail "another seed gives the same text"
good sample ar/model.safetensors -n 3 --length 10 -q && has '^--- 2$'
good sample ar/model.safetensors -n 2 --length 10 -q --json && has '"texts": \[' && has '"tokens": 20'
good sample ar/model.safetensors --length 12 --temperature 0 --top-k 4 --top-p 0.9 --min-p 0.1 --repetition 1.2 --stop zz -q
good sample ar/model.safetensors -n 2 --length 8 -o two.txt -q && [ "$(wc -l <two.txt)" -ge 2 ] || fail "two texts were not written"
expect 2 'line 1' sample ar/model.safetensors --prompt 'Ω'
expect 2 'from left to right' sample ar/model.safetensors --infill 'the ___'
expect 2 'no sampler' sample ar/model.safetensors --sampler ancestrl
expect 7 'no-dir' sample ar/model.safetensors --length 3 -o no-dir/x.txt

# Interrupted, it ends well with what there is.
"$pumice" sample ar/model.safetensors --length 1000000 --json >out 2>err &
child=$!
sleep 3
kill -s INT "$child"
wait "$child" || fail "SIGINT while writing: exit code $?"
has '"stopped": true'

# ---- Masks -------------------------------------------------------------------------------------------------

good sample masked/model.safetensors --infill 'the [3] is [2-5].' -q
grep -qE '^the .{3} is .{2,5}\.$' out || fail "blanks were not filled: $(cat out)"
good sample masked/model.safetensors --prompt 'the ' --suffix 'sea.' --length 6 -q
grep -qE '^the .{6}sea\.$' out || fail "the ends were not kept: $(cat out)"
for sampler in ancestral cached first-hitting any-order left-to-right random low-confidence entropy margin max-prob threshold; do
    good sample masked/model.safetensors --infill 'stone [5] sea' --sampler "$sampler" --steps 3 -q
    grep -qE '^stone .{5} sea$' out || fail "$sampler: $(cat out)"
done
good sample masked/model.safetensors --length 12 --steps 4 --block 4 --guidance 2 --show
grep -q '____' err || fail "--show shows no canvas"
expect 2 'is no blank' sample masked/model.safetensors --infill 'a[0]'
expect 2 '24 tokens at once' sample masked/model.safetensors --length 25
expect 2 'it takes no stop' sample masked/model.safetensors --stop x

# ---- Bits --------------------------------------------------------------------------------------------------

good eval ar/model.safetensors --data notes -q && has 'exact +[0-9.]+$' && has 'gzip -9'
good eval masked/model.safetensors --data notes --draws 3 --markdown -q && has '^\| kjv-masked-tiny, a bound, k-DCE, 3 draws \| <= [0-9.]+ \+- [0-9.]+ \|$'
good eval masked/model.safetensors --data notes --draws 2 -q --json && has '"exact": false' && has '"bits_per_character"'
good bench train kjv-ar-tiny --data notes --batch 2 --repeats 1 --json -q && has '"tokens_per_second"'
good bench sample ar/model.safetensors -q && has 'prompt, batch 1' && has 'decode, batch 1'
good bench sample masked/model.safetensors -q && has 'tokens a pass'

[ "$failures" = 0 ] && echo "all is well"
[ "$failures" = 0 ]
