# What every target shares. One function per kind of thing; sources are listed by hand.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

option(CAIRN_DRILLS "leaks on purpose for who sets CAIRN_DRILL (src/io/drill.h): never in a release" OFF)
option(CAIRN_FUZZ "build the libFuzzer targets (clang)" OFF)

find_package(PkgConfig REQUIRED)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
find_package(Threads REQUIRED)

add_library(cairn_flags INTERFACE)
target_compile_options(cairn_flags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
    -Wold-style-definition -Wvla -Wcast-qual -Wformat=2 -Wimplicit-fallthrough -Wundef -Werror
    -fno-strict-aliasing -fstack-protector-strong -fno-omit-frame-pointer -fno-common
    -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
target_compile_definitions(cairn_flags INTERFACE _GNU_SOURCE CAIRN_VERSION="${PROJECT_VERSION}")
if(CAIRN_DRILLS)
    target_compile_definitions(cairn_flags INTERFACE CAIRN_DRILLS)
endif()
target_include_directories(cairn_flags INTERFACE
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR})

# cairn_layer(base SOURCES a.c b.c LINKS other_layer PkgConfig::X)
function(cairn_layer name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
    add_library(cairn_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(cairn_${name} PUBLIC ${ARG_LINKS} PRIVATE cairn_flags)
endfunction()

# cairn_test(name SOURCES x_test.c LINKS cairn_base ...): a test program of its own, in ctest
function(cairn_test name)
    cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINKS;ARGS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES} ${PROJECT_SOURCE_DIR}/tests/lib/test.c)
    target_link_libraries(${name} PRIVATE ${ARG_LINKS} cairn_base cairn_flags)
    add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS})
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 60)
    endif()
    # unit, story, integration, bench: the folder of tests/ that it lies in, for ctest -L
    list(GET ARG_SOURCES 0 first_source)
    string(REGEX REPLACE "^([^/]*)/.*" "\\1" label "${first_source}")
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${label}")
endfunction()

# cairn_test_on_epoll(name): a test of cairn_test() once more, on the backend that needs no io_uring
function(cairn_test_on_epoll name)
    add_test(NAME ${name}_on_epoll COMMAND ${name})
    get_test_property(${name} LABELS labels)
    set_tests_properties(${name}_on_epoll PROPERTIES
        TIMEOUT 60 LABELS "${labels};epoll" ENVIRONMENT "CAIRN_IO_BACKEND=epoll")
endfunction()

# cairn_fuzz(name SOURCES x_fuzz.c CORPUS dir LINKS ...): always built as a corpus runner that is a
# test; with CAIRN_FUZZ also as a libFuzzer program fuzz_<name>
function(cairn_fuzz name)
    cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;LINKS" ${ARGN})
    add_executable(corpus_${name} ${ARG_SOURCES} ${PROJECT_SOURCE_DIR}/tests/lib/corpus_main.c)
    target_link_libraries(corpus_${name} PRIVATE ${ARG_LINKS} cairn_base cairn_flags)
    add_test(NAME fuzz_corpus_${name} COMMAND corpus_${name} ${ARG_CORPUS})
    set_tests_properties(fuzz_corpus_${name} PROPERTIES TIMEOUT 60 LABELS fuzz)
    if(CAIRN_FUZZ)
        add_executable(fuzz_${name} ${ARG_SOURCES})
        target_link_libraries(fuzz_${name} PRIVATE ${ARG_LINKS} cairn_base cairn_flags)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    endif()
endfunction()
