# shellcheck shell=bash
# Sourced by test.sh and demo.sh: goes to the root of the tree, installs the packages that are missing, builds.
# A second time it installs nothing and builds nothing. Sets `root` and `build`. Expects `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release
cd "$root" || exit
# shellcheck source=tools/packages.sh
. "$root/tools/packages.sh"

# The same names on Debian 12, Debian 13 and Ubuntu 24.04.
packages=(
    gcc libc6-dev cmake ninja-build                   # the build
    glslc spirv-tools                                 # shaders
    libvulkan-dev libvulkan-volk-dev libstb-dev libjansson-dev zlib1g-dev
    libvulkan1 mesa-vulkan-drivers                    # the Vulkan loader, and drivers: AMD's, Intel's, and a CPU's
    libcmocka-dev vulkan-validationlayers pkgconf     # the tests
)
# Nice to have: what needs them says so when they are missing.
optional_packages=(dataset-fashion-mnist bible-kjv bible-kjv-text bzip2 xz-utils)

set_up_packages() {
    local system missing optional
    command -v dpkg-query >/dev/null || die "this sets up Debian and Ubuntu; elsewhere see third_party/README.md"
    mapfile -t missing < <(missing_of "${packages[@]}")
    mapfile -t optional < <(missing_of "${optional_packages[@]}")
    [ $((${#missing[@]} + ${#optional[@]})) -gt 0 ] || return 0

    system=$(. /etc/os-release && printf '%s %s' "$ID" "${VERSION_ID:-}")
    case "$system" in
        'debian 12' | 'debian 13' | 'ubuntu 24.04') ;;
        *) say "tested on Debian 12 and 13 and Ubuntu 24.04; this is $system: trying all the same" ;;
    esac
    say "installing with apt-get: ${missing[*]} ${optional[*]}"
    refresh_lists "${missing[@]}" "${optional[@]}"
    if [ ${#missing[@]} -gt 0 ]; then
        apt_get install --no-install-recommends "${missing[@]}" || die "apt-get could not install ${missing[*]}"
    fi
    if [ ${#optional[@]} -gt 0 ]; then
        apt_get install --no-install-recommends "${optional[@]}" ||
            say "not to be had: ${optional[*]}; what needs it is left out"
    fi
}

build_release() {
    [ -f "$build/build.ninja" ] || cmake --preset release >&2
    cmake --build --preset release >&2
}

set_up_packages
build_release
