#!/usr/bin/env bash
# Prints the path of an ICD file for SwiftShader, a second Vulkan driver for the CPU, with arithmetic of its
# own: what the tests hold lavapipe's bits against. It comes out of Debian's package chromium-common, which is
# downloaded but not installed; nothing but two files is kept, in
# ${XDG_CACHE_HOME:-~/.cache}/pumice/swiftshader. Fails quietly where there is no such package.
set -eu
if [ -n "${PUMICE_SWIFTSHADER:-}" ]; then
    echo "$PUMICE_SWIFTSHADER"
    exit 0
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pumice/swiftshader
icd=$cache/vk_swiftshader_icd.json
if [ ! -s "$icd" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download chromium-common) >&2 || exit 1
    dpkg-deb -x "$work"/chromium-common_*.deb "$work/root"
    mkdir -p "$cache"
    cp "$work/root/usr/lib/chromium/libvk_swiftshader.so" "$cache/"
    cp "$work/root/usr/lib/chromium/vk_swiftshader_icd.json" "$icd"
fi
echo "$icd"
