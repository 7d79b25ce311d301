# One target a folder. Links are private unless a public header of the folder shows the other folder's types:
# hapair_library(NAME [OPTIMISED] SOURCES ... LINKS ... PUBLIC_LINKS ...)
# Tests, and all that runs under sanitizers, are compiled without optimisation, which halves the time that it takes; OPTIMISED is
# for what explorations and fuzzers call millions of times, where it is the run that takes long.
add_library(hapair_options INTERFACE)
target_compile_options(hapair_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion -Wswitch-enum -Wformat=2
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Wold-style-cast>
  $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
  # gcc 12 sees an overlap in every "literal" + string at -O3 (its bug 105651); -Wall brings this warning.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # ibv_access_flags is spread over two enums by rdma-core itself; clang is the compiler of the fuzz targets only.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-enum-enum-conversion>)
# With its own bound for the first collection gcc sweeps a heap that would fit ten times over: a sixth of a compilation.
target_compile_options(hapair_options INTERFACE
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:SHELL:--param ggc-min-heapsize=400000>)
target_include_directories(hapair_options INTERFACE ${PROJECT_SOURCE_DIR})

# Under sanitizers the headers that nearly every file reads are read once: without that they are half of the time that it takes to
# build. Everywhere else each file stands by its own includes, so one that is missing is found there.
if(HAPAIR_SANITIZER)
  find_package(GTest REQUIRED)
  foreach(level 0 1)
    add_library(hapair_precompiled_O${level} OBJECT ${CMAKE_CURRENT_LIST_DIR}/precompiled.cc)
    target_compile_options(hapair_precompiled_O${level} PRIVATE -O${level})
    target_link_libraries(hapair_precompiled_O${level} PRIVATE hapair_options GTest::gtest GTest::gmock)
    target_precompile_headers(hapair_precompiled_O${level} PRIVATE
      <gmock/gmock.h> <gtest/gtest.h> <fmt/core.h>
      <algorithm> <array> <chrono> <cstring> <deque> <expected> <filesystem> <fstream> <functional> <map> <memory> <optional> <set> <span>
      <sstream> <string> <string_view> <utility> <variant> <vector>)
  endforeach()
endif()

# hapair_sanitized(TARGET OPTIMISED): how one target is compiled under sanitizers.
function(hapair_sanitized name optimised)
  if(NOT HAPAIR_SANITIZER)
    return()
  endif()
  set(level 0)
  if(optimised)
    set(level 1)
  endif()
  target_compile_options(${name} PRIVATE -O${level})
  target_precompile_headers(${name} REUSE_FROM hapair_precompiled_O${level})
endfunction()

function(hapair_library name)
  cmake_parse_arguments(ARG "OPTIMISED" "" "SOURCES;LINKS;PUBLIC_LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  hapair_sanitized(${name} ${ARG_OPTIMISED})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC_LINKS} PRIVATE hapair_options ${ARG_LINKS})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
endfunction()

function(hapair_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  hapair_sanitized(${name} FALSE)
  target_link_libraries(${name} PRIVATE hapair_options ${ARG_LINKS})
endfunction()

# A test program mirrors one source folder; every TEST in it becomes a ctest entry of its own.
function(hapair_test name)
  cmake_parse_arguments(ARG "OPTIMISED" "" "SOURCES;LINKS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  hapair_sanitized(${name} ${ARG_OPTIMISED})
  if(NOT HAPAIR_SANITIZER AND NOT ARG_OPTIMISED AND NOT CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${name} PRIVATE -O0)
  endif()
  target_link_libraries(${name} PRIVATE hapair_options ${ARG_LINKS} GTest::gtest GTest::gtest_main GTest::gmock)
  gtest_discover_tests(${name} PROPERTIES LABELS "${ARG_LABELS}" DISCOVERY_TIMEOUT 60)
endfunction()
