
add_executable(io_bench bench/io_bench.c)
target_link_libraries(io_bench PRIVATE cairn_io cairn_base cairn_flags)
