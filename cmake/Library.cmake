# SPDX-License-Identifier: Apache-2.0
# libforekey.so: what servers and clients link, in one shared library. One, because both halves have the
# messages of the protocol in them, which a process may register with protobuf only once. Its ABI belongs
# to a minor version, as long as there is no 1.0: that is its SONAME.
#
# The libraries that are built besides (forekey::gate, forekey::client) are static; a program takes these
# or this one (forekey::forekey), never both.
configure_file(${forekey_SOURCE_DIR}/packaging/library/forekey.map ${CMAKE_BINARY_DIR}/gen/forekey.map @ONLY)
# Nothing of its own: all comes from the static libraries.
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/gen/library.cc CONTENT "")
add_library(forekey_forekey SHARED ${CMAKE_BINARY_DIR}/gen/library.cc)
add_library(forekey::forekey ALIAS forekey_forekey)
target_link_libraries(forekey_forekey
                      PUBLIC gRPC::grpc++ absl::status absl::statusor absl::time
                      PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,forekey_gate,forekey_client>)
target_link_options(forekey_forekey PRIVATE -Wl,--version-script=${CMAKE_BINARY_DIR}/gen/forekey.map -Wl,--no-undefined)
set_target_properties(forekey_forekey PROPERTIES
  OUTPUT_NAME forekey EXPORT_NAME forekey UNITY_BUILD OFF LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LINK_DEPENDS ${CMAKE_BINARY_DIR}/gen/forekey.map)
