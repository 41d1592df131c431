# Finds what Pumice takes from the system's packages, all of it before it complains, so that one message names
# every package that is missing. Defines the interface target `pumice_dependencies` and the programs
# PUMICE_GLSLC, PUMICE_SPIRV_OPT and PUMICE_SPIRV_VAL; with PUMICE_TESTS also PUMICE_CMOCKA_LIBRARY.

set(pumice_missing "")
set(pumice_missing_packages "")

# Looks for `what` (a header, a library or a program, as `kind` says) and remembers the Debian package if it
# is not there.
macro(pumice_need kind variable what package)
    if(${kind} STREQUAL header)
        find_path(${variable} ${what})
    elseif(${kind} STREQUAL library)
        find_library(${variable} ${what})
    else()
        find_program(${variable} ${what})
    endif()
    mark_as_advanced(${variable})
    if(NOT ${variable})
        list(APPEND pumice_missing ${what})
        list(APPEND pumice_missing_packages ${package})
    endif()
endmacro()

pumice_need(header PUMICE_VULKAN_INCLUDE vulkan/vulkan.h libvulkan-dev)
pumice_need(header PUMICE_VOLK_INCLUDE volk.h libvulkan-volk-dev)
pumice_need(header PUMICE_STB_INCLUDE stb/stb_image_write.h libstb-dev)
pumice_need(header PUMICE_JANSSON_INCLUDE jansson.h libjansson-dev)
pumice_need(library PUMICE_JANSSON_LIBRARY jansson libjansson-dev)
pumice_need(header PUMICE_ZLIB_INCLUDE zlib.h zlib1g-dev)
pumice_need(library PUMICE_ZLIB_LIBRARY z zlib1g-dev)
pumice_need(program PUMICE_GLSLC glslc glslc)
pumice_need(program PUMICE_SPIRV_OPT spirv-opt spirv-tools)
pumice_need(program PUMICE_SPIRV_VAL spirv-val spirv-tools)
if(PUMICE_TESTS)
    pumice_need(header PUMICE_CMOCKA_INCLUDE cmocka.h libcmocka-dev)
    pumice_need(library PUMICE_CMOCKA_LIBRARY cmocka libcmocka-dev)
endif()

if(pumice_missing)
    list(REMOVE_DUPLICATES pumice_missing_packages)
    list(JOIN pumice_missing ", " pumice_missing)
    list(JOIN pumice_missing_packages " " pumice_missing_packages)
    message(FATAL_ERROR "Not found: ${pumice_missing}. On Debian or Ubuntu: apt-get install ${pumice_missing_packages}")
endif()

add_library(pumice_dependencies INTERFACE)
target_include_directories(pumice_dependencies SYSTEM INTERFACE
    ${PUMICE_VULKAN_INCLUDE} ${PUMICE_VOLK_INCLUDE} ${PUMICE_STB_INCLUDE} ${PUMICE_JANSSON_INCLUDE}
    ${PUMICE_ZLIB_INCLUDE})
# Names, not paths: they reach the installed package files, which must hold on the machine that installs them.
set(PUMICE_LINK_NAMES jansson z m ${CMAKE_DL_LIBS})
if(WIN32)
    list(APPEND PUMICE_LINK_NAMES pthread) # mingw's has clock_gettime()
endif()
target_link_libraries(pumice_dependencies INTERFACE ${PUMICE_LINK_NAMES})
if(CMAKE_CROSSCOMPILING) # the linker for another system does not look where CMake did
    get_filename_component(directory ${PUMICE_JANSSON_LIBRARY} DIRECTORY)
    target_link_directories(pumice_dependencies INTERFACE ${directory})
endif()
