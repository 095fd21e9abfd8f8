# SPDX-License-Identifier: Apache-2.0
# `cmake --install`: the programs, and the library for find_package(forekey): forekey::gate for servers
# and forekey::client for clients, or both in a shared library (forekey::forekey), with their public headers
# alone. packaging/debian shares it out into packages.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(FOREKEY_ZSH_COMPLETIONS ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING "Where zsh finds completions")

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/forekey)
install(TARGETS forekey_proto forekey_proto_grpc forekey_base forekey_https forekey_rpc forekey_crypto forekey_wire forekey_verify
                forekey_policy forekey_store forekey_store_postgres
                forekey_gate_settings forekey_gate_limits forekey_gate_token forekey_gate_factor forekey_gate_audit
                forekey_gate_call forekey_gate_session forekey_gate_enroll forekey_gate_config forekey_gate_admin
                forekey_gate_service forekey_gate forekey_testing forekey_client
        EXPORT forekeyTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/forekey COMPONENT development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET forekey_forekey)
  install(TARGETS forekey_forekey EXPORT forekeyTargets
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development
          INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  # Wherever it is moved to, it is found from there.
  file(RELATIVE_PATH prefix_of_pc /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
  string(REGEX REPLACE "/$" "" prefix_of_pc "${prefix_of_pc}")
  configure_file(${forekey_SOURCE_DIR}/packaging/library/forekey.pc.in ${CMAKE_BINARY_DIR}/gen/forekey.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/gen/forekey.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endif()
install(EXPORT forekeyTargets NAMESPACE forekey:: DESTINATION ${package_folder} COMPONENT development)
foreach(room gate gate/testing client)
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
install(FILES docs/PROTOCOL.md docs/CONFIG.md docs/AGENT.md docs/AUDIT.md docs/OPERATIONS.md docs/ROTATION.md docs/CLUSTER.md docs/BALANCERS.md docs/FRONTS.md docs/CONFORMANCE.md docs/CI.md docs/TRUST.md
              docs/EXISTING_SERVER.md docs/FLEET.md docs/YUBIKEYS.md docs/AGENCY_CARDS.md docs/SEVERAL_TOKENS.md docs/LOST_LAPTOP.md README.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT programs)
# forekey-sim looks for it in ../lib/forekey.
install(TARGETS forekey_ifd LIBRARY DESTINATION lib/forekey COMPONENT programs)
# An echo server with a gate in it, one without, and a client: what docs/START.md and the guides call.
install(TARGETS forekey-example-echo forekey-example-echo-client forekey-example-plain
        RUNTIME DESTINATION lib/forekey/examples COMPONENT programs)
# A unit, and what opens the links of invites, names its program by the place where this install puts it.
install(CODE "
  foreach(unit lib/systemd/system/forekey-gate.service lib/systemd/user/forekey-agent.service
          lib/systemd/user/forekey-agent.socket lib/systemd/user/forekey-proxy@.service
          share/applications/forekey-invite.desktop)
    get_filename_component(name \${unit} NAME)
    file(READ \"${forekey_SOURCE_DIR}/packaging/\${name}\" text)
    get_filename_component(unit_programs \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\" ABSOLUTE)
    string(REPLACE \"=/usr/bin/\" \"=\${unit_programs}/\" text \"\${text}\")
    file(WRITE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${unit}\" \"\${text}\")
    message(STATUS \"Installing: \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${unit}\")
  endforeach()" COMPONENT programs)
# For who writes an implementation: a program in Python, its questions, and the vectors beside it.
set(conformance_folder ${CMAKE_INSTALL_DATADIR}/forekey/conformance)
install(PROGRAMS conformance/forekey-conformance DESTINATION ${conformance_folder} COMPONENT programs)
install(DIRECTORY conformance/forekey_conformance DESTINATION ${conformance_folder} COMPONENT programs
        FILES_MATCHING PATTERN "*.py" PATTERN "__pycache__" EXCLUDE)
install(FILES packaging/forekey-conformance.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT programs)
install(FILES tests/vectors/forekey-v1.json DESTINATION ${conformance_folder} COMPONENT programs)
install(CODE "
  set(link \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/forekey-conformance\")
  file(CREATE_LINK ../${conformance_folder}/forekey-conformance \"\${link}\" SYMBOLIC)
  message(STATUS \"Installing: \${link}\")" COMPONENT programs)
foreach(package forekey forekey-gate)
  install(FILES packaging/${package}.sysusers DESTINATION lib/sysusers.d RENAME ${package}.conf COMPONENT programs)
endforeach()
install(FILES packaging/forekey-gate.tmpfiles DESTINATION lib/tmpfiles.d RENAME forekey-gate.conf COMPONENT programs)
install(FILES udev/70-forekey.rules DESTINATION lib/udev/rules.d COMPONENT programs)
include(Pages)
