#!/usr/bin/env bash
# Builds Pumice for 64-bit Windows with mingw-w64, from Debian's packages: the library and pumice.exe, in
# build/windows. What they lack for Windows (jansson, and the headers of Vulkan, volk and stb) goes to a prefix
# in the cache. Nobody has run the result on Windows yet; under wine, where that is installed (package wine64),
# pumice.exe reads a model. Exits 77 with --installed when mingw-w64 is not installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

host=x86_64-w64-mingw32
packages=(gcc-mingw-w64-x86-64 libz-mingw-w64-dev libvulkan-dev libvulkan-volk-dev libstb-dev glslc spirv-tools cmake
    ninja-build gcc xz-utils bzip2)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pumice/windows
prefix=$cache/prefix
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

missing=$(missing_of "${packages[@]}")
if [ -n "$missing" ]; then
    [ "${1:-}" != --installed ] || { say "not installed: $missing"; exit 77; }
    # shellcheck disable=SC2086
    { refresh_lists $missing; apt_get install --no-install-recommends $missing; }
fi

# Debian's source of a package, with lists of its own: the machine's need not have sources.
fetch_source() {
    mkdir -p "$work/sources" "$work/lists/partial"
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [ ! -f "$list" ] || sed -E 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "$list" >"$work/sources/$(basename "$list")"
    done
    local options=(-q -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$work/sources"
        -o "Dir::State::Lists=$work/lists" -o "APT::Sandbox::User=")
    (cd "$work" && apt-get "${options[@]}" update && apt-get "${options[@]}" source --download-only "$1") >"$cache/$1.log" 2>&1 ||
        die "no source of $1: see $cache/$1.log"
}

make_prefix() {
    [ ! -e "$prefix/.complete" ] || return 0
    say "making $prefix"
    rm -rf "$prefix"
    mkdir -p "$prefix/include"
    for header in vulkan vk_video volk.h volk.c stb; do
        [ ! -e "/usr/include/$header" ] || cp -r "/usr/include/$header" "$prefix/include/"
    done
    fetch_source jansson
    mkdir "$work/jansson"
    tar -xf "$work"/jansson_*.orig.tar.* -C "$work/jansson" --strip-components=1
    toolchain=("--toolchain" "$PWD/cmake/mingw-w64.cmake" -D PUMICE_WINDOWS_PREFIX="$prefix")
    {
        cmake -S "$work/jansson" -B "$work/build" -G Ninja "${toolchain[@]}" -D CMAKE_INSTALL_PREFIX="$prefix" \
            -D CMAKE_BUILD_TYPE=Release -D JANSSON_BUILD_DOCS=OFF -D JANSSON_WITHOUT_TESTS=ON \
            -D JANSSON_EXAMPLES=OFF && cmake --build "$work/build" && cmake --install "$work/build"
    } >"$cache/jansson.log" 2>&1 || die "jansson cannot be built: see $cache/jansson.log"
    touch "$prefix/.complete"
}

mkdir -p "$cache"
make_prefix
shaders=$PWD/build/release/shaders/shaders_embedded.c # if the build for this machine has made them
[ -e "$shaders" ] || shaders=
cmake -S . -B build/windows -G Ninja --toolchain "$PWD/cmake/mingw-w64.cmake" -D PUMICE_WINDOWS_PREFIX="$prefix" \
    -D PUMICE_TESTS=OFF ${shaders:+-D PUMICE_SHADERS_C=$shaders} >"$cache/configure.log" || die "cannot be configured: see $cache/configure.log"
nice -n 5 cmake --build build/windows --target pumice_command pumice_static
say "built build/windows/pumice.exe and libpumice.a, which nobody has run on Windows"

# What needs no device, under wine: files are read, and the same text comes out as here.
wine=$(command -v wine64 || command -v wine || command -v /usr/lib/wine/wine64 || true)
if [ -n "$wine" ]; then
    export WINEPREFIX=$work/wine WINEDEBUG=-all
    timeout 300 "$wine" build/windows/pumice.exe --version
    timeout 60 "$wine" build/windows/pumice.exe inspect models/weights/kjv-ar.safetensors >"$work/inspected"
    "$(dirname "$wine")/wineserver" -k || true
    grep -q '806336 parameters' "$work/inspected" || die "pumice.exe does not read a model under wine"
    say "under wine, pumice.exe reads a model"
fi
