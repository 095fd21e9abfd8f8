# SPDX-License-Identifier: Apache-2.0
# `cmake --install`: the programs, and the library for find_package(forekey): forekey::gate for servers
# and forekey::client for clients, with their public headers alone.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/forekey)
install(TARGETS forekey_proto forekey_proto_grpc forekey_base forekey_rpc forekey_crypto forekey_wire forekey_verify
                forekey_policy forekey_store
                forekey_gate_settings forekey_gate_limits forekey_gate_token forekey_gate_factor forekey_gate_audit
                forekey_gate_call forekey_gate_session forekey_gate_enroll forekey_gate_config forekey_gate_admin
                forekey_gate_service forekey_gate forekey_client
        EXPORT forekeyTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/forekey COMPONENT development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT forekeyTargets NAMESPACE forekey:: DESTINATION ${package_folder} COMPONENT development)
foreach(room gate client)
  install(DIRECTORY ${forekey_SOURCE_DIR}/src/${room}/public/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          COMPONENT development FILES_MATCHING PATTERN "*.h")
endforeach()
# For clients in other languages.
install(DIRECTORY ${forekey_SOURCE_DIR}/proto/forekey DESTINATION ${CMAKE_INSTALL_DATADIR}/forekey/proto
        COMPONENT development FILES_MATCHING PATTERN "*.proto")

configure_package_config_file(${forekey_SOURCE_DIR}/cmake/forekeyConfig.cmake.in
                              ${CMAKE_CURRENT_BINARY_DIR}/forekeyConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/forekeyConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/forekeyConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/forekeyConfigVersion.cmake
        DESTINATION ${package_folder} COMPONENT development)

install(TARGETS forekey forekey-agent forekey-gate forekey-sim
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
install(FILES docs/PROTOCOL.md docs/CONFIG.md docs/AGENT.md docs/AUDIT.md docs/OPERATIONS.md README.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT programs)
install(FILES packaging/forekey-gate.service DESTINATION lib/systemd/system COMPONENT programs)
install(FILES packaging/forekey-agent.service DESTINATION lib/systemd/user COMPONENT programs)
install(FILES packaging/forekey.sysusers DESTINATION lib/sysusers.d RENAME forekey.conf COMPONENT programs)
install(FILES udev/70-forekey.rules DESTINATION lib/udev/rules.d COMPONENT programs)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "Forekey maintainers <maintainers@forekey.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Hardware keys in front of gRPC services")
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME forekey)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libforekey-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "libgrpc++-dev, libprotobuf-dev, libabsl-dev, libssl-dev, libsqlite3-dev, libsodium-dev, libcjose-dev, libjansson-dev, libcurl4-openssl-dev, prometheus-cpp-dev, nlohmann-json3-dev, pkg-config")
set(CPACK_COMPONENTS_ALL programs development)
include(CPack)
