#!/usr/bin/env bash
# A first look, from nothing: what devices are here, pictures from a model that comes with Pumice, a model
# trained on this machine for two minutes, pictures from that. Installs and builds what is missing; a second
# run skips what is done. With --quick the training takes 20 seconds, which is enough to see it run and not to
# see clothes.
set -euo pipefail
minutes=2
tiny=tiny
case "${1:-}" in
    '') ;;
    --quick) minutes=0.33 tiny=quick ;;
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

echo "pictures of the model that comes with Pumice: $out/shipped.png"
echo "the model that this machine trained:          $out/$tiny/model.safetensors"
echo "pictures of it:                               $out/$tiny.png"
