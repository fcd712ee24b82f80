# Real processes: the built `cairn` on temporary directories. Python 3, standard library.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
if(NOT TARGET cairn OR NOT EXISTS ${PROJECT_SOURCE_DIR}/src/storage/native.c)
    return()
endif()
add_executable(api_check integration/api_check.c)
target_link_libraries(api_check PRIVATE libcairn_static cairn_flags)
foreach(suite backend bench check fastdfs fastdfs_import files http http_cluster library members metrics ops probes resume server top)
    add_test(NAME integration_${suite}
        COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/integration/${suite}_test.py)
    set_tests_properties(integration_${suite} PROPERTIES
        TIMEOUT 180 PROCESSORS 2 LABELS integration SKIP_REGULAR_EXPRESSION "OK \\(skipped="
        ENVIRONMENT "CAIRN=$<TARGET_FILE:cairn>;CAIRN_API_CHECK=$<TARGET_FILE:api_check>;CAIRN_HAS_SDT=${CAIRN_HAVE_SYS_SDT_H};CAIRN_HELLO=$<TARGET_FILE:example_hello_c_static>")
endforeach()

add_test(NAME integration_sight
    COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/integration/sight_test.py)
set_tests_properties(integration_sight PROPERTIES
    TIMEOUT 180 PROCESSORS 2 LABELS integration ENVIRONMENT "CAIRN=$<TARGET_FILE:cairn>")

foreach(suite crowd soak)
    add_test(NAME integration_${suite}
        COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/integration/${suite}_test.py)
    set_tests_properties(integration_${suite} PROPERTIES
        TIMEOUT 300 PROCESSORS 2 LABELS "integration;drill" ENVIRONMENT "CAIRN=$<TARGET_FILE:cairn>")
endforeach()
set_tests_properties(integration_soak PROPERTIES
    TIMEOUT 3600 LABELS long SKIP_REGULAR_EXPRESSION "OK \\(skipped=")

# Half a minute for each leak: the gate seeds three of the seven, the script without names all of them.
set(doctor_drills DoctorDrill.test_a_descriptor_in_sync_receive DoctorDrill.test_heap_in_an_answer_of_the_tracker
    DoctorDrill.test_a_timer_that_is_never_cancelled)
add_test(NAME integration_doctor_drill
    COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/integration/doctor_drill_test.py ${doctor_drills})
set_tests_properties(integration_doctor_drill PROPERTIES
    TIMEOUT 1200 PROCESSORS 2 LABELS "integration;drill" SKIP_REGULAR_EXPRESSION "OK \\(skipped="
    ENVIRONMENT "CAIRN=$<TARGET_FILE:cairn>")

# The drills: the long way round with the same processes. full needs root (a disk of its own), memory
# needs minutes and CAIRN_LONG=1; without they are shown as skipped.
foreach(suite fastdfs_clients fastdfs_mirrors http_browser http_clients native tree kill limits full hostile secrets memory)
    add_test(NAME integration_${suite}
        COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/integration/${suite}_test.py)
    set_tests_properties(integration_${suite} PROPERTIES
        TIMEOUT 300 PROCESSORS 2 LABELS "integration;drill" SKIP_REGULAR_EXPRESSION "OK \\(skipped="
        ENVIRONMENT "CAIRN=$<TARGET_FILE:cairn>")
endforeach()
set_tests_properties(integration_memory PROPERTIES TIMEOUT 1800 LABELS long)

# Some of them once more on the backend that needs no io_uring (decision 30), and mirrors without the long drill.
foreach(suite files http native kill mirrors)
    set(only)
    if(suite STREQUAL mirrors)
        set(only MirrorsTest.test_a_group_of_two_goes_on_when_one_dies_and_is_equal_when_it_is_back
            MirrorsTest.test_a_mirror_serves_what_another_storage_stored)
    endif()
    add_test(NAME integration_${suite}_on_epoll COMMAND ${Python3_EXECUTABLE} -B
        ${PROJECT_SOURCE_DIR}/tests/integration/${suite}_test.py ${only})
    set_tests_properties(integration_${suite}_on_epoll PROPERTIES
        TIMEOUT 300 PROCESSORS 2 LABELS "integration;epoll"
        ENVIRONMENT "CAIRN=$<TARGET_FILE:cairn>;CAIRN_IO_BACKEND=epoll")
endforeach()
