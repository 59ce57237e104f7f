# The headers that nearly every file reads, precompiled: a build from nothing is a third shorter. Not for release, whose
# modules differ in their optimization. A missing include is found by clang-tidy and by release, which go without.
function(weir_precompiled_headers)
  if(NOT WEIR_PCH)
    return()
  endif()
  # For ccache.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess> "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
  add_compile_options(-pthread)  # Some libraries ask for it, and it defines a macro: all files agree.
  set(source "${CMAKE_BINARY_DIR}/weir_pch.cc")
  file(GENERATE OUTPUT "${source}" CONTENT "")
  file(GENERATE OUTPUT "${source}.test.cc" CONTENT "int main() {}\n")
  set(common <algorithm> <chrono> <functional> <map> <memory> <mutex> <optional> <string> <unordered_map> <vector>
    <fmt/format.h>)
  add_library(weir_pch STATIC "${source}")
  target_precompile_headers(weir_pch PRIVATE ${common})
  target_link_libraries(weir_pch PRIVATE fmt::fmt)
  target_compile_options(weir_pch PRIVATE ${WEIR_WARNINGS})  # Those of its users: they decide over some macros.
  if(BUILD_TESTING)
    add_executable(weir_pch_test "${source}.test.cc")
    target_precompile_headers(weir_pch_test PRIVATE ${common} <gtest/gtest.h> <gmock/gmock.h>)
    target_link_libraries(weir_pch_test PRIVATE fmt::fmt GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_options(weir_pch_test PRIVATE ${WEIR_WARNINGS})
  endif()
endfunction()

# weir_cases(TARGET LABEL [TIMEOUT seconds]): each case of a GoogleTest binary becomes a test of its own, in a process of
# its own; for binaries whose cases stand alone. They are listed when ctest starts, not when the binary is built.
function(weir_cases target label)
  cmake_parse_arguments(C "" "TIMEOUT" "" ${ARGN})
  if(NOT C_TIMEOUT)
    set(C_TIMEOUT 300)
  endif()
  gtest_discover_tests(${target} TEST_PREFIX "${target}/" DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT ${C_TIMEOUT} LABELS ${label} ENVIRONMENT "${WEIR_TEST_ENV}")
endfunction()

# weir_suite(NAME TARGET LABEL …properties): a binary whose cases share what is dear to start (a fleet) stays one process;
# its cases are counted from the report that gtest writes (tests/support/cases.py).
function(weir_suite name target label)
  add_test(NAME ${name} COMMAND ${target})
  set_tests_properties(${name} PROPERTIES LABELS ${label}
    ENVIRONMENT "${WEIR_TEST_ENV};GTEST_OUTPUT=xml:${CMAKE_BINARY_DIR}/cases/${name}.xml" ${ARGN})
endfunction()

# The edges between modules are in cmake/edges.txt, for CMake and tests/layering alike.
set(WEIR_EDGES "${CMAKE_CURRENT_LIST_DIR}/edges.txt")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${WEIR_EDGES}")
file(STRINGS "${WEIR_EDGES}" lines REGEX "^[^#]+:")
set(WEIR_MODULES "")
foreach(line ${lines})
  string(REGEX MATCH "^([^:]+):([^|]*)\\|?(.*)$" line "${line}")
  set(name "${CMAKE_MATCH_1}")
  set(hidden "${CMAKE_MATCH_3}")
  string(REGEX MATCHALL "[^ ]+" exposed "${CMAKE_MATCH_2}")
  string(REGEX MATCHALL "[^ ]+" hidden "${hidden}")
  list(APPEND WEIR_MODULES "${name}")
  set("WEIR_EXPOSED_${name}" "${exposed}")
  set("WEIR_HIDDEN_${name}" "${hidden}")
endforeach()

# weir_edges(FOLDER EXPOSED HIDDEN): the targets of the modules that FOLDER may include; EXPOSED are those that its headers
# include, too.
function(weir_edges folder exposed hidden)
  string(REGEX REPLACE "^libs/" "" name "${folder}")
  if(NOT name IN_LIST WEIR_MODULES)
    message(FATAL_ERROR "cmake/edges.txt has no line for \"${name}\"; add one that names the modules it includes")
  endif()
  foreach(kind EXPOSED HIDDEN)
    set(modules "${WEIR_${kind}_${name}}")
    list(TRANSFORM modules REPLACE "[/-]" "_")
    list(TRANSFORM modules PREPEND "weir_")
    set(${kind} "${modules}")
  endforeach()
  if(NOT name STREQUAL "base")
    list(PREPEND EXPOSED weir_base)
  endif()
  set(${exposed} "${EXPOSED}" PARENT_SCOPE)
  set(${hidden} "${HIDDEN}" PARENT_SCOPE)
endfunction()

# weir_module(NAME libs/proxy [SUBDIRS …] [LINK …] [PRIVATE_LINK …] [TEST_LINK …] [EXCLUDE …])
#
# One folder, one target. `libs/xds/protocol` becomes `weir_xds_protocol`. Sources are the .cc files of the folder (and
# SUBDIRS), except main.cc and *_test.cc; the tests become one GoogleTest binary `<target>_test`. Other modules come from
# cmake/edges.txt; LINK names libraries that are not ours and that a header of the module includes, PRIVATE_LINK those that
# only its sources do, TEST_LINK what only the tests need.
function(weir_target_name folder out)
  string(REGEX REPLACE "^libs/" "" name "${folder}")
  string(REGEX REPLACE "[/-]" "_" name "${name}")
  set(${out} "weir_${name}" PARENT_SCOPE)
endfunction()

function(weir_module)
  cmake_parse_arguments(M "" "NAME" "LINK;PRIVATE_LINK;SUBDIRS;EXCLUDE;TEST_LINK" ${ARGN})
  weir_target_name("${M_NAME}" target)
  set(dir "${CMAKE_SOURCE_DIR}/${M_NAME}")
  set(globs "${dir}/*.cc")
  foreach(sub ${M_SUBDIRS})
    list(APPEND globs "${dir}/${sub}/*.cc")
  endforeach()
  file(GLOB all CONFIGURE_DEPENDS ${globs})
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "(_test|/main|_fuzz)\\.cc$")
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  foreach(pattern ${M_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX "${pattern}")
  endforeach()

  weir_edges("${M_NAME}" exposed hidden)
  if(sources)
    add_library(${target} STATIC ${sources})
    set(kind PUBLIC)
    set(hidden_kind PRIVATE)
    target_compile_options(${target} PRIVATE ${WEIR_WARNINGS})
    if(WEIR_PCH)
      target_precompile_headers(${target} REUSE_FROM weir_pch)
    endif()
  else()
    add_library(${target} INTERFACE)
    set(kind INTERFACE)
    set(hidden_kind INTERFACE)
  endif()
  target_include_directories(${target} ${kind} "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${target} ${kind} ${exposed} ${M_LINK} ${hidden_kind} ${hidden} ${M_PRIVATE_LINK})

  if(BUILD_TESTING AND tests)
    add_executable(${target}_test ${tests})
    target_compile_options(${target}_test PRIVATE ${WEIR_WARNINGS})
    if(WEIR_PCH)
      target_precompile_headers(${target}_test REUSE_FROM weir_pch_test)
    endif()
    target_link_libraries(${target}_test PRIVATE ${target} ${exposed} ${hidden} ${M_LINK} ${M_PRIVATE_LINK} ${M_TEST_LINK}
      GTest::gtest GTest::gmock GTest::gtest_main)
    weir_cases(${target}_test unit)
    add_dependencies(weir_tests ${target}_test)
  endif()
endfunction()

# jemalloc in place of libc's malloc, in what ships (docs/adr/0015); sanitizers bring their own.
function(weir_jemalloc target)
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Release" OR WEIR_SANITIZE)
    return()
  endif()
  find_library(WEIR_JEMALLOC jemalloc REQUIRED)
  target_link_libraries(${target} PRIVATE ${WEIR_JEMALLOC})  # Before libc, which has a malloc too.
endfunction()

# weir_program(NAME weir-server DIR mgmt-server [MAIN main.cc] [LINK …] [JEMALLOC]): DIR/MAIN with the module of its folder,
# into build/<preset>/bin. A program that cmake/edges.txt has a line of its own for (DIR/MAIN) has the modules of that line instead.
function(weir_program)
  cmake_parse_arguments(P "JEMALLOC" "NAME;DIR;MAIN" "LINK" ${ARGN})
  if(NOT P_MAIN)
    set(P_MAIN main.cc)
  endif()
  if("${P_DIR}/${P_MAIN}" IN_LIST WEIR_MODULES)
    weir_edges("${P_DIR}/${P_MAIN}" exposed hidden)
  else()
    weir_edges("${P_DIR}" exposed hidden)
    weir_target_name("${P_DIR}" module)
    list(PREPEND exposed ${module})
  endif()
  add_executable(${P_NAME} "${CMAKE_SOURCE_DIR}/${P_DIR}/${P_MAIN}")
  target_compile_options(${P_NAME} PRIVATE ${WEIR_WARNINGS})
  target_link_libraries(${P_NAME} PRIVATE ${exposed} ${hidden} ${P_LINK})
  set_target_properties(${P_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
  if(P_JEMALLOC)
    weir_jemalloc(${P_NAME})
  endif()
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    weir_split_debug(${P_NAME})
  endif()
endfunction()

# Lines and types go to bin/.debug/NAME.debug, where gdb looks for them; the program keeps its symbols, for profiles and stacks.
function(weir_split_debug name)
  set(debug "${CMAKE_BINARY_DIR}/bin/.debug/${name}.debug")
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_BINARY_DIR}/bin/.debug"
    COMMAND "${CMAKE_OBJCOPY}" --only-keep-debug --compress-debug-sections "$<TARGET_FILE:${name}>" "${debug}"
    COMMAND "${CMAKE_OBJCOPY}" --strip-debug "--add-gnu-debuglink=${debug}" "$<TARGET_FILE:${name}>"
    VERBATIM)
endfunction()
