#!/usr/bin/env bash
# What every vendor's driver makes of Pumice, without any vendor's GPU. Writes docs/drivers.md.
#
#   tools/drivers.sh            all of it: drivers that run on a CPU run `pumice check`, also with --exact;
#                               compilers of GPUs compile every kernel that would be used there
#   tools/drivers.sh --update   the same, and takes the compilers' numbers as the new baseline
#   --runs, --compiles          only that part; of the other the document has what came out last
#   tools/drivers.sh --quick    the host's own drivers alone, against the baseline; writes no document
#   --results FOLDER            nothing is compiled or run: what a run left in FOLDER, against the baseline; with
#                               --update it becomes the baseline
#   --baseline FILE             another one than tests/drivers_baseline.tsv
#
# Fails when a run is wrong, when a kernel spills that did not, or when a compiler's estimate of its time got a
# tenth worse (tests/drivers_baseline.tsv). Drivers come out of Debian's packages, in roots of Debian 13, also with the
# Mesa of its backports, and of unstable that are made once, under ${XDG_CACHE_HOME:-~/.cache}/pumice/drivers: that
# takes root. Nothing is mounted for it. What cannot be had is left out, and the document says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source=$PWD
# shellcheck source=tools/packages.sh
. tools/packages.sh
# shellcheck source=tools/drivers_report.sh
. tools/drivers_report.sh

mode=all
parts="runs compiles"
build=
baseline=$source/tests/drivers_baseline.tsv
results=
while [ $# -gt 0 ]; do
    case $1 in
        --quick) mode=quick ;;
        --update) mode=update ;;
        --runs | --compiles) parts=${1#--} ;;
        --build) build=$2; shift ;;
        --results) results=$2; shift ;;
        --baseline) baseline=$2; shift ;;
        *) die "unknown option $1" ;;
    esac
    shift
done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pumice/drivers
# The devices as they are, whatever else is being tested.
unset PUMICE_LIMIT PUMICE_OFF PUMICE_DEVICE
work=$cache/results
temporary=$(mktemp -d)
if [ "$mode" = quick ]; then build=${build:-$source/build/release}; fi
if [ "$mode" = quick ]; then work=$temporary; fi
libraries=/usr/lib/$(uname -m)-linux-gnu
icds=/usr/share/vulkan/icd.d

# debootstrap mounts proc and sys while it works; if it is stopped they must not stay.
finish() {
    local place
    for place in "$cache"/*/proc "$cache"/*/sys; do
        if mountpoint -q "$place" 2>/dev/null; then umount "$place" || true; fi
    done
    rm -rf "$temporary"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- Roots -----------------------------------------------------------------------------------------------

# Where this machine's apt gets Debian from.
mirror() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(SITE) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
        awk '$2 == "Debian" && $3 == "Debian" && !found { print $1; found = 1 }'
}

run_packages=ca-certificates,mesa-vulkan-drivers,mesa-drm-shim,libvulkan1,libjansson4,zlib1g,glslc
shim_packages=meson,ninja-build,gcc,g++,pkgconf,bison,flex,python3-mako,python3-yaml,python3-packaging,libdrm-dev
shim_packages+=,libexpat1-dev,zlib1g-dev,xz-utils

# make_root SUITE PACKAGES: false when it cannot be made.
make_root() {
    local root=$cache/$1
    [ "$(cat "$root/.complete" 2>/dev/null)" != "$2" ] || return 0
    rm -rf "$root"
    say "making a root of Debian $1"
    nice -n 5 debootstrap --variant=minbase --include="$2" "$1" "$root" "$(mirror)" >"$cache/$1.log" 2>&1 || {
        say "no root of $1: see $cache/$1.log"
        return 1
    }
    echo "$2" >"$root/.complete"
}

# in_trixie NAME SOURCE COMMAND VARIABLE=VALUE...: with that source of packages, and $apt to get them.
in_trixie() {
    local root=$cache/trixie name=$1 command=$3
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    echo "$2" >"$root/etc/apt/sources.list.d/$name.list"
    shift 3
    chroot "$root" env apt="apt-get -q -o APT::Sandbox::User=root" libraries="$libraries" "$@" \
        sh -ec "\$apt update; $command" >"$cache/$name.log" 2>&1 || {
        say "no $name: see $cache/$name.log"
        return 1
    }
}

# Of Debian 13, beside its own Mesa.
make_backports() {
    [ ! -e "$cache/trixie/backports/lvp_icd.json" ] || return 0
    say "taking Mesa from backports"
    # shellcheck disable=SC2016
    in_trixie backports "deb $(mirror) trixie-backports main" '
        $apt -y install --no-install-recommends libdisplay-info2 libpng16-16t64
        rm -rf /backports && mkdir /backports && cd /backports
        $apt download mesa-vulkan-drivers/trixie-backports
        dpkg -x mesa-vulkan-drivers_*.deb .
        sed "s|libvulkan_lvp.so|/backports$libraries/&|" usr/share/vulkan/icd.d/lvp_icd.json >new.json
        mv new.json lvp_icd.json'
}

# No package has Intel's shim: it is built from Mesa's source, in the root.
make_intel_shim() {
    local root=$cache/trixie options="-Dvulkan-drivers= -Dgallium-drivers= -Dtools=drm-shim,intel -Dplatforms="
    local feature
    [ ! -e "$root$libraries/libintel_noop_drm_shim.so" ] || return 0
    say "building Intel's shim"
    for feature in llvm glx egl gbm gles1 gles2 glvnd xmlconfig; do options+=" -D$feature=disabled"; done
    # shellcheck disable=SC2016
    in_trixie shim "deb-src $(mirror) trixie main" '
        mkdir -p /mesa/source && cd /mesa
        $apt source --download-only mesa
        tar -xf mesa_*.orig.tar.?z -C source --strip-components=1 && cd source
        meson setup build -Dopengl=false $options
        nice -n 5 ninja -C build src/intel/tools/libintel_noop_drm_shim.so
        cp build/src/intel/tools/libintel_noop_drm_shim.so "$libraries/"
        rm -rf /mesa' options="$options"
}

# Kernels for matrix units want a glslc that knows them, and this machine's may be too old: a build with that of the
# newest root, which runs here with that root's libraries.
make_build() {
    local root options=()
    [ -z "$build" ] || return 0
    build=$source/build/drivers
    for root in "$cache"/trixie "$cache"/unstable; do
        [ -x "$root/usr/bin/glslc" ] || continue
        cat >"$cache/glslc" <<SCRIPT
#!/bin/sh
exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root$libraries" "$root/usr/bin/glslc" "\$@"
SCRIPT
        chmod +x "$cache/glslc"
        options=(-D PUMICE_MATRIX_GLSLC="$cache/glslc")
    done
    say "building, with kernels for matrix units"
    {
        cmake -S "$source" -B "$build" -G Ninja -D PUMICE_TESTS=OFF "${options[@]}" &&
            nice -n 5 cmake --build "$build" --target pumice_command
    } >"$cache/build.log" 2>&1 || die "cannot be built: see $cache/build.log"
}

# The host's binaries, and the models where they look for them.
put_pumice() {
    local root=$cache/$1
    mkdir -p "$root/pumice" "$root$source/models" &&
        cp --remove-destination "$build/pumice" "$root/pumice/" &&
        cp -r "$source/models/weights" "$root$source/models/" || return 1
    chroot "$root" /pumice/pumice --version >/dev/null 2>&1 || {
        say "the binary built here does not run in Debian $1"
        return 1
    }
}

set_up_roots() {
    roots=
    [ "$(id -u)" = 0 ] || die "roots of other Debians can only be made by root; --quick needs none"
    command -v debootstrap >/dev/null || { refresh_lists debootstrap; apt_get install debootstrap; }
    mkdir -p "$cache"
    make_root trixie "$run_packages,$shim_packages" || true
    make_root unstable "$run_packages" || true
    make_build
    if [ -e "$cache/trixie/.complete" ] && put_pumice trixie; then roots+=" trixie"; fi
    if [ -e "$cache/unstable/.complete" ] && put_pumice unstable; then roots+=" unstable"; fi
    case $roots in
        *trixie*)
            make_backports || true
            make_intel_shim || true
            ;;
    esac
}

has_root() {
    case "$roots " in *" $1 "*) ;; *) return 1 ;; esac
}

# in_place host|SUITE VARIABLE=VALUE... COMMAND...
in_place() {
    local place=$1
    shift
    if [ "$place" = host ]; then
        env "$@"
    else
        chroot "$cache/$place" /usr/bin/env "$@"
    fi
}

pumice_in() {
    if [ "$1" = host ]; then echo "$build/pumice"; else echo /pumice/pumice; fi
}

# ---- Compiling -------------------------------------------------------------------------------------------

# compile NAME PLACE VARIABLE=VALUE...: the kernels of all precisions; of f32 only where it differs most, of fast those
# for matrix units, in f16 and in bf16.
compile() {
    local name=$1 place=$2 op status=0
    shift 2
    local pumice
    pumice=$(pumice_in "$place")
    local start=$SECONDS
    local check=(in_place "$place" MESA_SHADER_CACHE_DISABLE=1 "$@" timeout 600 nice -n 5 "$pumice" check --compile --quiet)
    "${check[@]}" >"$work/$name.compile" 2>"$work/$name.log" || status=$?
    for op in matmul conv2d attention; do
        "${check[@]}" --precision f32 --op "$op" >>"$work/$name.compile" 2>>"$work/$name.log" || status=$?
    done
    local format
    for format in fast fast-bf16; do
        case $format in fast-bf16) # offered where f16 is, too, or nowhere
            grep -q '^matmul_shared  *fast ' "$work/$name.compile" || break
            check+=(--off matrix-f16) ;;
        esac
        for op in matmul conv2d attention; do
            "${check[@]}" --precision fast --op "$op" 2>>"$work/$name.log" |
                awk -v format="$format" '$2 == format' >>"$work/$name.compile" || status=$?
        done
    done
    if [ "$status" != 0 ]; then
        say "$name: failed with status $status: $(tail -n 1 "$work/$name.log")"
        grep -q '^[0-9]* pipelines' "$work/$name.compile" || rm -f "$work/$name.compile"
        return 0
    fi
    say "$name: compiled in $((SECONDS - start)) s"
}

amd() { compile "$1" "$2" RADV_FORCE_FAMILY="${3:-$1}" VK_ICD_FILENAMES="$(amd_icd "$2")"; }
amd_icd() { if [ "$1" = host ]; then ls $icds/radeon_icd*.json; else echo $icds/radeon_icd.json; fi; }
intel() {
    [ -e "$cache/trixie$libraries/libintel_noop_drm_shim.so" ] || return 0
    compile "$1" trixie INTEL_STUB_GPU_PLATFORM="$1" LD_PRELOAD="$libraries/libintel_noop_drm_shim.so" \
        VK_ICD_FILENAMES=$icds/intel_icd.json
}
nvidia() {
    compile "$1" "$2" NOUVEAU_CHIPSET="$3" NVK_I_WANT_A_BROKEN_VULKAN_DRIVER=1 \
        LD_PRELOAD="$libraries/libnouveau_noop_drm_shim.so" VK_ICD_FILENAMES=$icds/nouveau_icd.json
}
adreno() {
    compile "adreno$1" unstable FD_GPU_ID="$1" LD_PRELOAD="$libraries/libfreedreno_noop_drm_shim.so" \
        VK_ICD_FILENAMES=$icds/freedreno_icd.json
}
apple() {
    compile apple-m1 unstable LD_PRELOAD="$libraries/libasahi_noop_drm_shim.so" VK_ICD_FILENAMES=$icds/asahi_icd.json
}
amd_new() {
    compile "$1-new" unstable AMDGPU_GPU_ID="$1" LD_PRELOAD="$libraries/libamdgpu_noop_drm_shim.so" \
        VK_ICD_FILENAMES=$icds/radeon_icd.json
}

# Two at a time.
jobs_of() {
    local job
    # shellcheck disable=SC2162
    while read -r job; do
        while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || true; done
        $job </dev/null &
    done
    wait
}

list_compiles() {
    if has_root trixie; then
        cat <<'LIST'
amd polaris10 trixie
amd vega10 trixie
amd navi10 trixie
amd navi21 trixie
amd navi31 trixie
amd gfx1201 trixie
nvidia pascal trixie 0x132
nvidia turing trixie 0x162
nvidia ampere trixie 0x172
intel skl
intel icl
intel tgl
intel adl
intel dg2
intel mtl
intel lnl
intel bmg
LIST
    fi
    if has_root unstable; then
        cat <<'LIST'
amd_new navi31
amd_new gfx1201
nvidia turing-new unstable 0x162
nvidia ada unstable 0x192
nvidia hopper unstable 0x180
nvidia blackwell unstable 0x1b2
adreno 660
adreno 740
apple
LIST
    fi
    list_quick
}

# The families that the Mesa of this machine knows.
list_quick() {
    cat <<'LIST'
amd polaris10-host host polaris10
amd vega10-host host vega10
amd navi10-host host navi10
amd navi21-host host navi21
LIST
}

# ---- Running ---------------------------------------------------------------------------------------------

# run_driver NAME PLACE VARIABLE=VALUE...: with one thread, since two drivers run at a time.
run_driver() {
    local name=$1 place=$2 pumice folder=/tmp status=0
    shift 2
    pumice=$(pumice_in "$place")
    if [ "$place" = host ]; then
        folder=$temporary/$name
        mkdir -p "$folder"
    fi
    in_place "$place" XDG_CACHE_HOME="$folder" "$@" timeout 1800 nice -n 5 "$pumice" check >"$work/$name.check" 2>&1 ||
        status=1
    in_place "$place" XDG_CACHE_HOME="$folder" TMPDIR="$folder" "$@" timeout 1800 nice -n 5 "$pumice" check --exact --quiet \
        >"$work/$name.exactness" 2>&1 || status=1
    if [ "$status" = 0 ]; then
        say "$name: right"
    else
        say "$name: WRONG"
        echo "$name" >>"$work/wrong"
    fi
}

# The longest first.
list_runs() {
    local icd
    if has_root trixie; then
        echo "run_driver lavapipe-13 trixie LP_NUM_THREADS=1 VK_ICD_FILENAMES=$icds/lvp_icd.json"
        icd=/backports/lvp_icd.json
        if [ -e "$cache/trixie$icd" ]; then
            echo "run_driver lavapipe-13-backports trixie LP_NUM_THREADS=1 VK_ICD_FILENAMES=$icd"
        fi
    fi
    echo "run_driver lavapipe-12 host LP_NUM_THREADS=1 VK_ICD_FILENAMES=$(ls $icds/lvp_icd*.json)"
    if has_root unstable; then
        icd="LP_NUM_THREADS=1 VK_ICD_FILENAMES=$icds/lvp_icd.json"
        echo "run_driver lavapipe-unstable unstable $icd"
        echo "run_driver lavapipe-unstable-gpu unstable $icd LP_NATIVE_VECTOR_WIDTH=256 PUMICE_OFF=cpu-kernels"
    fi
    if icd=$(tools/swiftshader.sh); then echo "run_driver swiftshader host VK_ICD_FILENAMES=$icd"; fi
}

# ---- All of it -------------------------------------------------------------------------------------------

if [ -n "$results" ]; then
    if [ "$mode" = update ]; then make_baseline "$results" >"$baseline"; fi
    compare_baseline "$results" "$baseline"
    exit
fi
if [ "$mode" = quick ]; then
    if ! ls $icds/radeon_icd*.json >/dev/null 2>&1; then
        say "AMD's driver is not installed (package mesa-vulkan-drivers): skipped"
        exit 77
    fi
    list_quick | jobs_of
    in_place host VK_ICD_FILENAMES="$(ls $icds/lvp_icd*.json)" "$build/pumice" check --quick --quiet >"$work/quick.check" ||
        die "lavapipe: $(tail -n 1 "$work/quick.check")"
    compare_baseline "$work" "$baseline"
    exit
fi
set_up_roots
mkdir -p "$work"
case $parts in *runs*) rm -f "$work"/*.check "$work"/*.exactness "$work/wrong" ;; esac
case $parts in *compiles*) rm -f "$work"/*.compile ;; esac
{
    case $parts in *runs*) list_runs ;; esac
    case $parts in *compiles*) list_compiles ;; esac
} | jobs_of
write_document "$work" >docs/drivers.md
say "wrote docs/drivers.md"
if [ "$mode" = update ]; then
    make_baseline "$work" >"$baseline"
    say "wrote $baseline"
else
    compare_baseline "$work" "$baseline"
fi
if [ -e "$work/wrong" ]; then die "wrong: $(paste -sd ' ' "$work/wrong")"; fi
