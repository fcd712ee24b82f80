
add_executable(io_bench bench/io_bench.c)
target_link_libraries(io_bench PRIVATE cairn_io cairn_base cairn_flags)

# what the machine can do, to compare Cairn with; tests/bench/compare.py runs both
add_executable(limits bench/limits.c bench/limits_client.c bench/limits_disk.c bench/limits_file.c
    bench/limits_net.c bench/limits_put.c bench/limits_server.c)
target_link_libraries(limits PRIVATE cairn_cli cairn_base PkgConfig::URING Threads::Threads cairn_flags)
set_target_properties(limits PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})

# requests to any HTTP server; tests/bench/doors.py runs it
add_executable(http_load bench/http_load.c bench/limits_file.c)
target_link_libraries(http_load PRIVATE cairn_cli cairn_base PkgConfig::URING Threads::Threads cairn_flags)
set_target_properties(http_load PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
