# What `cmake --install` puts where, and how another build finds it: find_package(pumice) gives pumice::pumice (shared)
# and pumice::static; `pkg-config pumice` gives the same.
include(CMakePackageConfigHelpers)

install(TARGETS pumice_static pumice_shared EXPORT pumice_targets)
install(FILES ${PUMICE_PUBLIC_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pumice)
foreach(data recipes weights)
    install(DIRECTORY models/${data} DESTINATION ${CMAKE_INSTALL_DATADIR}/pumice
        FILES_MATCHING PATTERN "*.json" PATTERN "*.safetensors" PATTERN "*.md")
endforeach()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/pumice)
install(EXPORT pumice_targets NAMESPACE pumice:: DESTINATION ${package} FILE pumice-targets.cmake)
configure_package_config_file(cmake/pumice-config.cmake.in ${PROJECT_BINARY_DIR}/pumice-config.cmake
    INSTALL_DESTINATION ${package} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break what an older one promised.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/pumice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/pumice-config.cmake ${PROJECT_BINARY_DIR}/pumice-config-version.cmake
    DESTINATION ${package})

list(TRANSFORM PUMICE_LINK_NAMES PREPEND -l OUTPUT_VARIABLE PUMICE_PC_LIBS)
list(JOIN PUMICE_PC_LIBS " " PUMICE_PC_LIBS)
configure_file(cmake/pumice.pc.in ${PROJECT_BINARY_DIR}/pumice.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/pumice.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The manual page and bash's completion come from the command itself, from the tables that it parses with.
if(TARGET pumice_command)
    set(manual ${PROJECT_BINARY_DIR}/pumice.1)
    set(completion ${PROJECT_BINARY_DIR}/pumice.bash)
    add_custom_command(OUTPUT ${manual} ${completion}
        COMMAND pumice_command manual > ${manual}
        COMMAND pumice_command completion > ${completion}
        DEPENDS pumice_command VERBATIM)
    add_custom_target(pumice_manual ALL DEPENDS ${manual} ${completion})
    install(FILES ${manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${completion} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME pumice)
endif()
