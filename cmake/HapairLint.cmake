# cmake --build --preset dev -t format | format-check | tidy | tidy-recent | tidy-deep | check
find_program(CLANG_FORMAT clang-format-19)
find_program(CLANG_TIDY clang-tidy-19)
find_program(RUN_CLANG_TIDY run-clang-tidy-19)
find_program(SHELLCHECK shellcheck)

set(lint_dirs ccm heartbeat agent tests deploy)
file(GLOB_RECURSE lint_sources CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
  ccm/*.cc ccm/*.h heartbeat/*.cc heartbeat/*.h agent/*.cc agent/*.h tests/*.cc tests/*.h deploy/*.cc deploy/*.h)

if(CLANG_FORMAT)
  add_custom_target(format COMMAND ${CLANG_FORMAT} -i ${lint_sources} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
  add_custom_target(format-check COMMAND ${CLANG_FORMAT} --dry-run --Werror ${lint_sources}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
endif()
if(RUN_CLANG_TIDY)
  set(run_tidy ${RUN_CLANG_TIDY} -quiet -clang-tidy-binary ${CLANG_TIDY} -p ${PROJECT_BINARY_DIR}
    -extra-arg=-Wno-unknown-warning-option)
  set(tidied "^${PROJECT_SOURCE_DIR}/(ccm|heartbeat|agent|deploy)/")
  add_custom_target(tidy-deep COMMAND ${run_tidy} ${tidied} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
  # Without the checks that follow every path through a function: they take two thirds of the time. -Wno-error: clang's own warnings
  # are the build's business, which makes errors of them.
  list(APPEND run_tidy -extra-arg=-Wno-error
    "-checks=-clang-analyzer-*,-bugprone-undelegated-constructor,-performance-unnecessary-value-param")
  add_custom_target(tidy COMMAND ${run_tidy} ${tidied} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
  # Only what changed of late (tests/recently-changed says what that is).
  add_custom_target(tidy-recent
    COMMAND ${PROJECT_SOURCE_DIR}/tests/recently-changed ccm heartbeat agent deploy | xargs --no-run-if-empty ${run_tidy}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endif()
if(SHELLCHECK)
  add_custom_target(shell-check COMMAND ${PROJECT_SOURCE_DIR}/tests/lint-shell WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
endif()
if(CLANG_FORMAT AND SHELLCHECK)
  add_custom_target(check DEPENDS format-check shell-check)
endif()
