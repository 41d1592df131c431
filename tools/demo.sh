#!/usr/bin/env bash
# A first look, from nothing: what devices are here, pictures and text from models that come with Pumice, models
# trained on this machine for two minutes (pictures) and one (text), what those draw. Installs and builds what is
# missing; a second run skips what is done. With --quick each training takes 20 seconds, which is enough to see it
# run and not to see clothes.
set -euo pipefail
minutes=2
text_minutes=1
tiny=tiny
case "${1:-}" in
    '') ;;
    --quick) minutes=0.33 text_minutes=0.33 tiny=quick ;;
    *) echo "usage: tools/demo.sh [--quick]" >&2; exit 2 ;;
esac
# shellcheck source=tools/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

pumice=$build/pumice
out=out/demo
mkdir -p "$out"

# step FILE TEXT COMMAND...: makes FILE unless it is there.
step() {
    local file=$1 text=$2
    shift 2
    if [ -e "$file" ]; then
        say "$text: done before; delete $file to do it again"
    else
        say "$text"
        "$@"
    fi
}

say "devices"
"$pumice" devices
step "$out/shipped.png" "sampling the model that comes with Pumice: 10 classes, 8 pictures each" \
    "$pumice" sample models/weights/fashion-small.safetensors -n 80 --steps 25 --columns 10 --labels --scale 2 -o "$out/shipped.png"
step "$out/$tiny/model.safetensors" "training the recipe fashion-tiny for $minutes minutes" \
    "$pumice" train fashion-tiny --minutes "$minutes" --out "$out/$tiny"
step "$out/$tiny.png" "sampling what was trained" \
    "$pumice" sample "$out/$tiny/model.safetensors" -n 80 --steps 25 --columns 10 --labels --scale 2 -o "$out/$tiny.png"


# text FILE TEXT COMMAND...: a step whose output is the file, and is shown.
text() {
    local file=$1 text=$2
    shift 2
    step "$file" "$text" bash -c '"${@:2}" > "$1.part" && mv "$1.part" "$1"' - "$file" "$@"
    cat "$file"
}

weights=models/weights
text "$out/continuation.txt" "a text that goes on from left to right" \
    "$pumice" sample $weights/kjv-ar.safetensors --prompt "In the beginning " --length 200
text "$out/infill.txt" "a blank of unknown length, filled by masked diffusion" \
    "$pumice" sample $weights/kjv-masked.safetensors --infill "And God said, Let there be [3-12]: and there was light."
text "$out/nothing.txt" "a text from nothing, by masked diffusion" \
    "$pumice" sample $weights/kjv-masked.safetensors
if [ ! -e out/data/kjv.txt ]; then tools/kjv.sh; fi
step "$out/$tiny-text/model.safetensors" "training the recipe kjv-masked-tiny for $text_minutes minutes" \
    "$pumice" train kjv-masked-tiny --minutes "$text_minutes" --out "$out/$tiny-text"
text "$out/$tiny-text.txt" "a text by what was trained" "$pumice" sample "$out/$tiny-text/model.safetensors"

echo "pictures of the model that comes with Pumice: $out/shipped.png"
echo "the model that this machine trained:          $out/$tiny/model.safetensors"
echo "pictures of it:                               $out/$tiny.png"
echo "texts:                                        $out/*.txt"
echo "the text model that this machine trained:     $out/$tiny-text/model.safetensors"
