# SPDX-License-Identifier: Apache-2.0
# Build helpers: one library a folder, one test program a folder, one fuzz target a file.

set(FOREKEY_WARNINGS -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers)

if(FOREKEY_SANITIZE)
  add_compile_options(-fsanitize=${FOREKEY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${FOREKEY_SANITIZE})
endif()

find_program(FOREKEY_MOLD mold)
if(FOREKEY_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

find_program(FOREKEY_CCACHE ccache)
if(FOREKEY_CCACHE)
  foreach(language C CXX)
    set(CMAKE_${language}_COMPILER_LAUNCHER
        ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${forekey_SOURCE_DIR} CCACHE_NOHASHDIR=1
        CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${FOREKEY_CCACHE})
  endforeach()
endif()

# Unity builds: the files of a target are compiled in batches, so that the headers of Abseil, gRPC and
# gtest are parsed once a batch and not once a file. A clean build is four times as fast. Presets turn
# it on (CMAKE_UNITY_BUILD); release builds do without, so that every file is also compiled alone.
#
# Files whose local names meet another file's in the same batch are compiled alone: their room names them
# behind ALONE (forekey_library, forekey_tests).
function(forekey_compile_alone)
  if(ARGN)
    set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
endfunction()

# forekey_library(NAME DEPS target... [ALONE file...]): every .cc of this folder except programs (*_main.cc) and
# tests. A folder without sources gives an interface library.
function(forekey_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;EXCLUDE;ALONE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "(_main|_test|_fuzz)\\.cc$")
  foreach(excluded ${ARG_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX "/${excluded}$")
  endforeach()
  forekey_compile_alone(${ARG_ALONE})
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${forekey_SOURCE_DIR}>)
    target_link_libraries(${name} PUBLIC ${ARG_DEPS})
    target_compile_options(${name} PRIVATE ${FOREKEY_WARNINGS})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE $<BUILD_INTERFACE:${forekey_SOURCE_DIR}>)
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
  string(REPLACE "forekey_" "" short ${name})
  add_library(forekey::${short} ALIAS ${name})
  set_target_properties(${name} PROPERTIES EXPORT_NAME ${short})
endfunction()

# A ThreadSanitizer program sees the distribution's absl::Mutex only through tests/support/tsan_abseil.cc.
function(forekey_tell_tsan name)
  if("${FOREKEY_SANITIZE}" MATCHES "thread")
    target_sources(${name} PRIVATE ${forekey_SOURCE_DIR}/tests/support/tsan_abseil.cc)
    target_link_libraries(${name} PRIVATE absl::synchronization ${CMAKE_DL_LIBS})
  endif()
endfunction()

# A test program of an AddressSanitizer build counts its leaks when its tests are over.
function(forekey_count_leaks name)
  if("${FOREKEY_SANITIZE}" MATCHES "address")
    target_sources(${name} PRIVATE ${forekey_SOURCE_DIR}/tests/support/leak_check.cc)
  endif()
endfunction()

# forekey_program(NAME SOURCES ... DEPS ...): a program in build/<preset>/bin.
function(forekey_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${forekey_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  target_compile_options(${name} PRIVATE ${FOREKEY_WARNINGS})
  forekey_tell_tsan(${name})
endfunction()

# In a header, not on the command line, where it would keep ccache from serving one checkout out of another.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/gen/forekey_test_paths.h CONTENT
     "#define FOREKEY_BIN \"@CMAKE_BINARY_DIR@/bin\"\n#define FOREKEY_SOURCE \"@CMAKE_CURRENT_SOURCE_DIR@\"\n" @ONLY)

# forekey_tests(NAME DEPS ... [SOURCES ...] [ALONE ...] [LABEL label] [TIMEOUT s] [SERIAL]): one gtest program
# of all *_test.cc here. FOREKEY_BIN and FOREKEY_SOURCE tell tests where programs and data are.
function(forekey_tests name)
  cmake_parse_arguments(ARG "SERIAL" "LABEL;TIMEOUT" "DEPS;SOURCES;ALONE" ${ARGN})
  forekey_compile_alone(${ARG_ALONE})
  if(NOT ARG_SOURCES)
    file(GLOB ARG_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  endif()
  if(NOT ARG_SOURCES)
    return()
  endif()
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${forekey_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_options(${name} PRIVATE ${FOREKEY_WARNINGS})
  target_compile_options(${name} PRIVATE -include ${CMAKE_BINARY_DIR}/gen/forekey_test_paths.h
                                         -ffile-prefix-map=${forekey_SOURCE_DIR}/=)
  forekey_tell_tsan(${name})
  forekey_count_leaks(${name})
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
  if(ARG_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
  endif()
endfunction()

# forekey_fuzz(NAME DEPS ...): tests/fuzz/NAME.cc with its corpus in tests/fuzz/corpus/NAME. Under the
# fuzz preset it is a libFuzzer program; otherwise a driver replays the corpus as an ordinary test.
function(forekey_fuzz name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  if(FOREKEY_FUZZ)
    add_executable(${name} ${name}.cc)
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${name}.cc ${forekey_SOURCE_DIR}/tests/fuzz/replay_main.cc)
  endif()
  target_include_directories(${name} PRIVATE ${forekey_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  if(FOREKEY_FUZZ)
    add_test(NAME ${name} COMMAND ${name} -runs=0 ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  else()
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()
