#!/usr/bin/env bash
# shipped.sh PUMICE WEIGHTS: the shipped classifier takes at least 80 % of the shipped model's pictures at guidance 3 for the class
# that was asked for. Few pictures and few steps, since a CPU draws them. Exits 77 without Fashion-MNIST, which eval compares with.
set -eu
[ -d /usr/share/datasets/fashion-mnist ] || exit 77
table=$("$1" --quiet eval "$2/fashion-small.safetensors" --classifier "$2/fashion-classifier.safetensors" -n 30 --steps 12 \
    --guidance 3 --metric accuracy --markdown)
echo "$table"
accuracy=$(sed -n 's/^| drawn, guidance 3 *| *\([0-9.]*\) %.*/\1/p' <<<"$table")
awk -v accuracy="$accuracy" 'BEGIN { exit !(accuracy >= 80) }'
