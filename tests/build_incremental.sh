#!/usr/bin/env bash
# A tree that did not change rebuilds nothing, and one shader that did is compiled alone: its own four
# variants. Works in a directory of its own. Usage: build_incremental.sh SOURCE
set -euo pipefail
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A small tree with two shaders: what is tested is the rules, not the number of files.
mkdir -p "$work/tree/shaders" "$work/tree/runtime/device" "$work/tree/tools"
cp -r "$source"/{CMakeLists.txt,cmake,third_party} "$work/tree"
cp -r "$source/shaders/include" "$work/tree/shaders"
cp -r "$source"/runtime/pumice*.h "$source/runtime/base" "$work/tree/runtime"
cp "$source/runtime/device/shaders_embedded.h" "$work/tree/runtime/device"
cp "$source"/tools/{embed_shaders.c,spirv_exact.c,spirv_exact.h} "$work/tree/tools"
mkdir "$work/tree/examples"
cp "$source/examples/CMakeLists.txt" "$work/tree/examples"
for name in first second; do
    cat > "$work/tree/shaders/$name.comp" <<'GLSL'
#version 460
#include "pumice.glsl"
PM_INPUT(0, x);
PM_OUTPUT(1, y);
void main()
{
    uint i = gl_GlobalInvocationID.x;
    y[i] = PM_MAD(x(i), x(i), 1.0);
}
GLSL
done

run() { cmake --build "$work/out" 2>&1 | tee "$work/log"; }
expect() { # expect COUNT PATTERN WHAT
    local found
    found=$(grep -cE "$2" "$work/log" || true)
    if [ "$found" != "$1" ]; then
        echo "FAILED: $3: expected $1 lines of '$2', found $found"
        exit 1
    fi
}

cmake -G Ninja -S "$work/tree" -B "$work/out" -DPUMICE_TESTS=OFF > "$work/log" || { cat "$work/log"; exit 1; }
run
expect 8 'Shader (first|second)' 'first build'
run
expect 1 'no work to do' 'nothing changed'
echo '// changed' >> "$work/tree/shaders/first.comp"
run
expect 4 'Shader first' 'one shader changed'
expect 0 'Shader second' 'one shader changed'
echo '// changed' >> "$work/tree/shaders/include/pumice.glsl"
run
expect 8 'Shader (first|second)' 'an include of both changed'

# A new shader is found without being asked for; an inexact one stops the build and is named, with its line.
sed 's|PM_MAD(x(i), x(i), 1.0)|1.0 / x(i)|' "$work/tree/shaders/first.comp" > "$work/tree/shaders/third.comp"
if run; then
    echo "FAILED: a division in a shader of precision exact was let through"
    exit 1
fi
if ! grep -q 'third.comp:8: division .* no promised rounding' "$work/log"; then
    echo "FAILED: the message does not name the division in the shader"
    exit 1
fi
rm "$work/tree/shaders/third.comp"
run
run
expect 1 'no work to do' 'the bad shader is gone'
echo "incremental builds rebuild what changed, and only that"
