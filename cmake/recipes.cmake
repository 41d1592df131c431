# The recipes, models/recipes/NAME.json, as one C file of bytes that is compiled into the library: the binary
# finds them by name wherever it lies.

# Writes the C file, when the build is configured (and again when a recipe has changed), and sets `result` to
# it.
function(pumice_embed_recipes result)
    set(names "")
    set(texts "")
    set(bytes "")
    file(GLOB recipes CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/models/recipes/*.json)
    if(NOT recipes)
        set(${result} "" PARENT_SCOPE)
        return()
    endif()
    list(SORT recipes)
    set(index 0)
    foreach(recipe ${recipes})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${recipe})
        get_filename_component(name ${recipe} NAME_WLE)
        file(READ ${recipe} hex HEX)
        string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
        string(APPEND names "\"${name}\", ")
        string(APPEND texts "(const char *)recipe_${index}, ")
        string(APPEND bytes "static const unsigned char recipe_${index}[] = {${hex}0};\n")
        math(EXPR index "${index} + 1")
    endforeach()
    set(output ${PROJECT_BINARY_DIR}/recipes_embedded.c)
    file(CONFIGURE OUTPUT ${output} @ONLY CONTENT "/* Made by cmake/recipes.cmake. */
#include \"recipes/recipe_fields.h\"\n
@bytes@
const char *const pm_embedded_recipe_names[] = {@names@NULL};
const char *const pm_embedded_recipe_texts[] = {@texts@NULL};
")
    set(${result} ${output} PARENT_SCOPE)
endfunction()
