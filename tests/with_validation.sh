#!/usr/bin/env bash
# with_validation.sh [--gpu | --gpu-errors] COMMAND...: runs the command under the Khronos validation layer and fails when the
# layer says anything at all: errors, warnings and advice on performance, of its core, synchronisation and
# best-practices checks; with --gpu of its core checks and of code that it puts into the shaders, which sees
# accesses out of bounds and descriptors that were not written. There is no list of messages to ignore. Exits
# 77 (skipped) without the layer.
#
# --gpu-errors is --gpu for a driver that lacks 64-bit integers: the layer warns, whatever is run, that it does not look
# at accesses by address, of which there are none. So only errors are heard, and all that it finds in shaders is one.
set -u
enables=VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT,VK_VALIDATION_FEATURE_ENABLE_BEST_PRACTICES_EXT
flags=error,warn,perf
if [ "${1:-}" = --gpu-errors ]; then flags=error; fi
if [ "${1:-}" = --gpu ] || [ "${1:-}" = --gpu-errors ]; then
    shift
    enables=VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT,VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_RESERVE_BINDING_SLOT_EXT
fi
if ! ls /usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json >/dev/null 2>&1; then
    echo "the validation layer is not installed (package vulkan-validationlayers): skipped"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/vk_layer_settings.txt" <<SETTINGS
khronos_validation.enables = $enables
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.report_flags = $flags
khronos_validation.log_filename = $folder/log
SETTINGS
export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SETTINGS_PATH="$folder"
"$@"
status=$?
if [ -s "$folder/log" ]; then
    echo "the validation layer spoke:"
    head -c 4000 "$folder/log"
    exit 1
fi
exit $status
