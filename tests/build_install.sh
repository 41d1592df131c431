#!/usr/bin/env bash
# Installs the build into an empty prefix and builds one program against it in each way that users have:
# find_package (shared and static) and pkg-config (shared and static). Usage: build_install.sh SOURCE BUILD
set -euo pipefail
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if grep -q '^PUMICE_SANITIZE:BOOL=ON' "$build/CMakeCache.txt"; then
    echo "skipped: a sanitized library asks its programs to be sanitized too"
    exit 77
fi

cmake --install "$build" --prefix "$work/prefix" > "$work/install.log"
mkdir "$work/program"
cat > "$work/program/main.c" <<'C'
#include <pumice.h>
#include <string.h>

int main(void)
{
    return strcmp(pm_status_name(PM_OK), "ok");
}
C
cat > "$work/program/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(program LANGUAGES C)
find_package(pumice 0.1 REQUIRED)
add_executable(shared main.c)
target_link_libraries(shared pumice::pumice)
add_executable(static main.c)
target_link_libraries(static pumice::static)
CMAKE

cmake -G Ninja -S "$work/program" -B "$work/out" -DCMAKE_PREFIX_PATH="$work/prefix" > "$work/configure.log"
cmake --build "$work/out" > "$work/build.log" || { cat "$work/build.log"; exit 1; }
"$work/out/shared"
"$work/out/static"

# What pkg-config says must hold for the prefix that it was configured for; here that prefix is moved.
pc=$(find "$work/prefix" -name pumice.pc)
export PKG_CONFIG_PATH=${pc%/*}
moved=(--define-variable=prefix="$work/prefix" pumice)
libdir=$(pkg-config --variable=libdir "${moved[@]}")
read -ra cflags < <(pkg-config --cflags "${moved[@]}")
read -ra shared < <(pkg-config --libs "${moved[@]}")
read -ra static < <(pkg-config --libs --static "${moved[@]}")
${CC:-cc} "$work/program/main.c" "${cflags[@]}" "${shared[@]}" -o "$work/pc-shared"
LD_LIBRARY_PATH=$libdir "$work/pc-shared"
# -lpumice prefers the shared library, so the static one is named by its file.
${CC:-cc} "$work/program/main.c" "${cflags[@]}" "${static[@]/#-lpumice/$libdir/libpumice.a}" -o "$work/pc-static"
"$work/pc-static"

# Nothing but pm_* is exported, and the library says which version it is.
exported=$(nm -D --defined-only "$libdir/libpumice.so" | awk '$2 != "A" && $3 !~ /^pm_/ { print $3 }')
if [ -n "$exported" ]; then
    echo "libpumice.so exports more than pm_*: $exported"
    exit 1
fi
objdump -p "$libdir/libpumice.so" | grep -q 'SONAME *libpumice\.so\.0\.1$'
echo "installed, found by find_package and pkg-config, linked both ways"
