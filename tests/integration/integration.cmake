# Real processes: the built `cairn` on temporary directories. Python 3, standard library.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
if(NOT TARGET cairn OR NOT EXISTS ${PROJECT_SOURCE_DIR}/src/storage/native.c)
    return()
endif()
foreach(suite bench files resume server)
    add_test(NAME integration_${suite}
        COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/integration/${suite}_test.py)
    set_tests_properties(integration_${suite} PROPERTIES
        ENVIRONMENT "CAIRN=$<TARGET_FILE:cairn>" TIMEOUT 180 PROCESSORS 2)
endforeach()
