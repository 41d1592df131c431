#!/usr/bin/env bash
# on_swiftshader.sh COMMAND...: runs the command on SwiftShader; exits 77 (skipped) where it cannot be had.
set -u
icd=$("$(dirname "$0")/../tools/swiftshader.sh") || {
    echo "SwiftShader cannot be had here: skipped"
    exit 77
}
export VK_ICD_FILENAMES=$icd VK_DRIVER_FILES=$icd PUMICE_DEVICE=0
"$@"
