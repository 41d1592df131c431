#!/usr/bin/env bash
# with_validation.sh COMMAND...: runs the command under the Khronos validation layer (core and synchronisation
# checks) and fails when the layer says anything at all. There is no list of messages to ignore. Exits 77
# (skipped) without the layer.
set -u
if ! ls /usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json >/dev/null 2>&1; then
    echo "the validation layer is not installed (package vulkan-validationlayers): skipped"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/vk_layer_settings.txt" <<SETTINGS
khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
khronos_validation.validate_sync = true
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.report_flags = error,warn,perf
khronos_validation.log_filename = $folder/log
SETTINGS
export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SETTINGS_PATH="$folder"
export VK_LAYER_ENABLES=VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
"$@"
status=$?
if [ -s "$folder/log" ]; then
    echo "the validation layer spoke:"
    head -c 4000 "$folder/log"
    exit 1
fi
exit $status
