# The shader pipeline. Each shaders/NAME.comp becomes four SPIR-V modules, {storage, texel} x {exact, f32},
# and all of them become one C file of words, which is compiled into the library. Of NAME_shared.comp there are two
# more, for matrix units in f16 and in bf16, and of NAME_matrix.comp these alone. Of the kernels of products there are
# {storage, texel} in precision rounded, too.
#
# Precision f32: glslc -O, spirv-val.
#
# Precision exact: glslc -O0, embed_shaders --exact, spirv-opt with the passes below, embed_shaders --exact,
# spirv-val. Every multiply, add and subtract has to carry NoContraction before the optimiser sees it, and the
# passes are only those that move code and forget what is dead: spirv-opt -O also folds arithmetic, and where
# its copies of inlined functions had lost the mark it has made an fma of a multiply and an add, or one product
# of two constants. The drivers optimise again, and they honour the marks.

set(PUMICE_EXACT_PASSES --strip-debug --wrap-opkill --eliminate-dead-branches --merge-return
    --inline-entry-points-exhaustive --eliminate-dead-functions --eliminate-dead-code-aggressive --private-to-local
    --eliminate-local-single-block --eliminate-local-single-store --eliminate-dead-code-aggressive
    --scalar-replacement=100 --convert-local-access-chains --eliminate-local-single-block
    --eliminate-local-single-store --eliminate-dead-code-aggressive --ssa-rewrite --eliminate-dead-code-aggressive
    --eliminate-dead-branches --merge-blocks --redundancy-elimination --eliminate-dead-code-aggressive
    --eliminate-dead-inserts --merge-blocks)

# A probe, shaders/probe_NAME.comp, measures what a device does and computes nothing for anybody: it may use
# everything, and is compiled in precision f32 alone.
#
# A shader that says `#extension X : require` is left out, with a message, when the installed glslc does not
# know X.

set(PUMICE_GLSLC_FLAGS --target-env=vulkan1.2 -Werror
    -I ${PROJECT_SOURCE_DIR}/shaders/include -I ${PROJECT_SOURCE_DIR}/shaders)

# The variants for matrix units (precision fast) want a glslc of 2024 or later, those in bf16 one of 2025, which may be
# another one.
set(PUMICE_MATRIX_GLSLC ${PUMICE_GLSLC} CACHE FILEPATH "the glslc for kernels that use matrix units")
mark_as_advanced(PUMICE_MATRIX_GLSLC)

# It runs on the machine that builds, whatever machine the build is for.
set(PUMICE_EMBED_SOURCES ${PROJECT_SOURCE_DIR}/tools/embed_shaders.c ${PROJECT_SOURCE_DIR}/tools/spirv_exact.c
    ${PROJECT_SOURCE_DIR}/runtime/base/status.c)
if(CMAKE_CROSSCOMPILING)
    find_program(PUMICE_HOST_CC NAMES cc gcc clang REQUIRED)
    mark_as_advanced(PUMICE_HOST_CC)
    set(PUMICE_EMBED ${PROJECT_BINARY_DIR}/embed_shaders_here)
    add_custom_command(OUTPUT ${PUMICE_EMBED}
        COMMAND ${PUMICE_HOST_CC} -std=c11 -O1 -D_POSIX_C_SOURCE=200809L -I ${PROJECT_SOURCE_DIR}/runtime
            ${PUMICE_EMBED_SOURCES} -o ${PUMICE_EMBED}
        DEPENDS ${PUMICE_EMBED_SOURCES} VERBATIM)
else()
    set(PUMICE_EMBED embed_shaders)
    add_executable(embed_shaders ${PUMICE_EMBED_SOURCES})
    target_include_directories(embed_shaders PRIVATE ${PROJECT_SOURCE_DIR}/runtime)
endif()

# Sets `result` to whether glslc knows the GLSL extension; each is tried once for each glslc.
function(pumice_glslc_knows glslc extension result)
    string(MD5 key "${glslc}")
    set(answer PUMICE_GLSLC_KNOWS_${extension}_${key})
    if(NOT DEFINED ${answer})
        set(probe ${PROJECT_BINARY_DIR}/shaders/probe.comp)
        file(WRITE ${probe} "#version 450\n#extension ${extension} : require\nvoid main() {}\n")
        execute_process(COMMAND ${glslc} --target-env=vulkan1.2 ${probe} -o ${probe}.spv
            RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
        if(failed)
            set(${answer} FALSE CACHE INTERNAL "")
        else()
            set(${answer} TRUE CACHE INTERNAL "")
        endif()
    endif()
    set(${result} ${${answer}} PARENT_SCOPE)
endfunction()

# Adds the commands that make one module of one shader, and sets `result` to its file.
function(pumice_compile_shader source texel fma rounded result)
    get_filename_component(name ${source} NAME_WE)
    set(variant ${name})
    set(defines "")
    if(texel)
        string(APPEND variant .texel)
        list(APPEND defines -DPM_TEXEL)
    endif()
    if(fma)
        string(APPEND variant .fma)
        list(APPEND defines -DPM_FMA)
    endif()
    if(rounded)
        string(APPEND variant .rounded)
        list(APPEND defines -DPM_ROUNDED)
    endif()
    set(base ${PROJECT_BINARY_DIR}/shaders/${variant})
    set(glslc ${PUMICE_GLSLC} ${PUMICE_GLSLC_FLAGS} ${defines} -MD -MF ${base}.d -MT ${base}.spv)

    if(fma)
        set(commands COMMAND ${glslc} -O ${source} -o ${base}.spv)
    else()
        # -g keeps line numbers for the patcher's messages; --strip-debug takes them out again.
        set(commands
            COMMAND ${glslc} -O0 -g ${source} -o ${base}.raw
            COMMAND ${PUMICE_EMBED} --exact ${base}.raw ${base}.marked
            COMMAND ${PUMICE_SPIRV_OPT} ${PUMICE_EXACT_PASSES} ${base}.marked -o ${base}.optimized
            COMMAND ${PUMICE_EMBED} --exact ${base}.optimized ${base}.spv)
    endif()
    add_custom_command(OUTPUT ${base}.spv ${commands}
        COMMAND ${PUMICE_SPIRV_VAL} --target-env vulkan1.2 ${base}.spv
        DEPENDS ${source} ${PUMICE_EMBED} DEPFILE ${base}.d
        COMMENT "Shader ${variant}" VERBATIM)
    set(${result} ${base}.spv PARENT_SCOPE)
endfunction()

# Adds the command that makes the variant of a shared-memory tile for matrix units, and sets `result` to its
# file. Neither is it optimised, which spirv-opt has made wrong code of, nor looked at by spirv-val, whose older
# versions do not know its types.
function(pumice_compile_matrix_shader source bf16 result)
    get_filename_component(name ${source} NAME_WE)
    set(variant ${name}.matrix)
    set(defines -DPM_FMA -DPM_MATRIX)
    if(bf16)
        string(APPEND variant .bf16)
        list(APPEND defines -DPM_BF16)
    endif()
    set(base ${PROJECT_BINARY_DIR}/shaders/${variant})
    add_custom_command(OUTPUT ${base}.spv
        COMMAND ${PUMICE_MATRIX_GLSLC} ${PUMICE_GLSLC_FLAGS} ${defines}
            -MD -MF ${base}.d -MT ${base}.spv ${source} -o ${base}.spv
        DEPENDS ${source} DEPFILE ${base}.d
        COMMENT "Shader ${variant}" VERBATIM)
    set(${result} ${base}.spv PARENT_SCOPE)
endfunction()

# Adds everything from shaders/*.comp to one C file, and sets `result` to it.
function(pumice_embed_shaders result)
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/shaders)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/shaders/*.comp)
    pumice_glslc_knows(${PUMICE_MATRIX_GLSLC} GL_KHR_cooperative_matrix has_matrix)
    if(NOT has_matrix)
        message(STATUS "Left out: kernels for matrix units (${PUMICE_MATRIX_GLSLC} does not know "
            "GL_KHR_cooperative_matrix; a newer glslc may be named by PUMICE_MATRIX_GLSLC)")
    else()
        pumice_glslc_knows(${PUMICE_MATRIX_GLSLC} GL_EXT_bfloat16 has_bf16)
        if(NOT has_bf16)
            message(STATUS "Left out: kernels for matrix units in bf16 (${PUMICE_MATRIX_GLSLC} does not know "
                "GL_EXT_bfloat16)")
        endif()
    endif()
    set(modules "")
    foreach(source ${sources})
        get_filename_component(name ${source} NAME_WE)
        set(lacking "")
        file(STRINGS ${source} extensions REGEX "^#extension +[A-Za-z0-9_]+ *: *require")
        foreach(line ${extensions})
            string(REGEX REPLACE "^#extension +([A-Za-z0-9_]+).*" "\\1" extension ${line})
            pumice_glslc_knows(${PUMICE_GLSLC} ${extension} known)
            if(NOT known)
                list(APPEND lacking ${extension})
            endif()
        endforeach()
        if(lacking)
            message(STATUS "Left out shaders/${name}.comp: this glslc does not know ${lacking}")
            continue()
        endif()
        if(has_matrix AND name MATCHES "_(shared|matrix)$")
            pumice_compile_matrix_shader(${source} FALSE module)
            list(APPEND modules ${module})
            if(has_bf16)
                pumice_compile_matrix_shader(${source} TRUE module)
                list(APPEND modules ${module})
            endif()
        endif()
        if(name MATCHES "_matrix$")
            continue()
        endif()
        foreach(texel 0 1)
            foreach(fma 0 1)
                if(name MATCHES "^probe_" AND NOT fma)
                    continue()
                endif()
                pumice_compile_shader(${source} ${texel} ${fma} FALSE module)
                list(APPEND modules ${module})
            endforeach()
            if(name MATCHES "^(matmul|conv2d|conv2d_weight|attention|attention_dq|attention_dkv|attention_product)(_lanes|_shared)?$")
                pumice_compile_shader(${source} ${texel} TRUE TRUE module)
                list(APPEND modules ${module})
            endif()
        endforeach()
    endforeach()
    set(output ${PROJECT_BINARY_DIR}/shaders/shaders_embedded.c)
    add_custom_command(OUTPUT ${output} COMMAND ${PUMICE_EMBED} ${output} ${modules}
        DEPENDS ${PUMICE_EMBED} ${modules} COMMENT "Embedding the shaders" VERBATIM)
    set(${result} ${output} PARENT_SCOPE)
endfunction()
