#!/usr/bin/env bash
# Builds Pumice for 64-bit Windows with mingw-w64, from Debian's packages: the library, pumice.exe and the tests
# that need no device, in build/windows. What the packages lack for Windows (jansson, cmocka, and the headers of
# Vulkan, volk and stb) goes to a prefix in the cache. Nobody has run the result on Windows yet; under wine, where
# that is installed (package wine64), pumice.exe reads a model, and the tests run. With --installed it installs
# nothing: it exits 77 where packages are missing, or the sources of libraries that nobody has built before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh

packages=(gcc-mingw-w64-x86-64 libz-mingw-w64-dev libvulkan-dev libvulkan-volk-dev libstb-dev glslc spirv-tools cmake
    ninja-build gcc xz-utils bzip2)
libraries=(jansson cmocka)
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

# Debian's sources of packages, with lists of apt's own: the machine's need not have sources.
fetch_sources() {
    mkdir -p "$work/sources" "$work/lists/partial"
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [ ! -f "$list" ] || sed -E 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "$list" >"$work/sources/$(basename "$list")"
    done
    local options=(-q -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$work/sources"
        -o "Dir::State::Lists=$work/lists" -o "APT::Sandbox::User=")
    (cd "$work" && apt-get "${options[@]}" update && apt-get "${options[@]}" source --download-only "$@") >"$cache/sources.log" 2>&1
}

# build_library NAME OPTION...: from its source into the prefix.
build_library() {
    local name=$1 source=$work/$1
    shift
    mkdir "$source"
    tar -xf "$source"_*.orig.tar.?z -C "$source" --strip-components=1
    {
        cmake -S "$source" -B "$source/build" -G Ninja --toolchain "$PWD/cmake/mingw-w64.cmake" \
            -D PUMICE_WINDOWS_PREFIX="$prefix" -D CMAKE_INSTALL_PREFIX="$prefix" -D CMAKE_BUILD_TYPE=Release "$@" &&
            cmake --build "$source/build" && cmake --install "$source/build"
    } >"$cache/$name.log" 2>&1 || die "$name cannot be built: see $cache/$name.log"
}

make_prefix() {
    [ "$(cat "$prefix/.complete" 2>/dev/null)" != "${libraries[*]}" ] || return 0
    say "making $prefix"
    if ! fetch_sources "${libraries[@]}"; then
        [ "${1:-}" != --installed ] || { say "no sources of ${libraries[*]}: see $cache/sources.log"; exit 77; }
        die "no sources of ${libraries[*]}: see $cache/sources.log"
    fi
    rm -rf "$prefix"
    mkdir -p "$prefix/include"
    for header in vulkan vk_video volk.h volk.c stb; do
        [ ! -e "/usr/include/$header" ] || cp -r "/usr/include/$header" "$prefix/include/"
    done
    build_library jansson -D JANSSON_BUILD_DOCS=OFF -D JANSSON_WITHOUT_TESTS=ON -D JANSSON_EXAMPLES=OFF
    build_library cmocka -D WITH_STATIC_LIB=ON -D WITH_EXAMPLES=OFF
    echo "${libraries[*]}" >"$prefix/.complete"
}

mkdir -p "$cache"
make_prefix "${1:-}"
wine=$(command -v wine64 || command -v /usr/lib/wine/wine64 || command -v wine || true)
shaders=$PWD/build/release/shaders/shaders_embedded.c # if the build for this machine has made them
[ -e "$shaders" ] || shaders=
cmake -S . -B build/windows -G Ninja --toolchain "$PWD/cmake/mingw-w64.cmake" -D PUMICE_WINDOWS_PREFIX="$prefix" \
    -D PUMICE_CMOCKA_LIBRARY="$prefix/lib/libcmocka-static.a" -D CMAKE_CROSSCOMPILING_EMULATOR="$wine" \
    ${shaders:+-D PUMICE_SHADERS_C=$shaders} >"$cache/configure.log" || die "cannot be configured: see $cache/configure.log"
nice -n 5 cmake --build build/windows --target pumice_command pumice_static tests/all
say "built build/windows/pumice.exe, libpumice.a and tests, which nobody has run on Windows"
[ -n "$wine" ] || { say "no wine (package wine64): the tests were built, and not run"; exit; }

# What needs no device, under wine: files are read, and the same text comes out as here.
export WINEPREFIX=$cache/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe="
timeout 300 "$wine" build/windows/pumice.exe --version
timeout 60 "$wine" build/windows/pumice.exe inspect models/weights/kjv-ar.safetensors >"$work/inspected"
grep -q '806336 parameters' "$work/inspected" || die "pumice.exe does not read a model under wine"
! grep -q $'\r' "$work/inspected" || die "pumice.exe ends lines as Windows does"
if ! ctest --test-dir build/windows -j2 --output-on-failure --no-tests=error >"$work/tests"; then
    cat "$work/tests"
    die "tests fail under wine"
fi
say "under wine, pumice.exe reads a model and $(grep -c ' Passed ' "$work/tests") test programs pass"
