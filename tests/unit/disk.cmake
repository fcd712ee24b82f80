cairn_test(blocks_test SOURCES unit/disk/blocks_test.c LINKS cairn_disk)
cairn_test(slotmap_test SOURCES unit/disk/slotmap_test.c LINKS cairn_disk)
cairn_test(space_test SOURCES unit/disk/space_test.c LINKS cairn_disk)
cairn_test(names_image_test SOURCES unit/disk/names_image_test.c LINKS cairn_disk)
cairn_test(members_image_test SOURCES unit/disk/members_image_test.c LINKS cairn_disk)
cairn_test(mount_image_test SOURCES unit/disk/mount_image_test.c LINKS cairn_disk)
cairn_test(mount_test SOURCES unit/disk/mount_test.c LINKS cairn_disk cairn_sim)
cairn_test(mount_host_test SOURCES unit/disk/mount_host_test.c unit/io/fixture.c LINKS cairn_disk)
cairn_test(single_test
    SOURCES unit/disk/single_test.c unit/disk/single_bench.c unit/io/fixture.c
    LINKS cairn_disk cairn_sim)
cairn_test(single_crash_test
    SOURCES unit/disk/single_crash_test.c unit/disk/single_bench.c LINKS cairn_disk cairn_sim)
cairn_test(format_test SOURCES unit/disk/format_test.c LINKS cairn_disk)
target_compile_definitions(format_test PRIVATE DISK_FORMAT_DOC="${PROJECT_SOURCE_DIR}/doc/disk-format.md")
cairn_test(format_v1_test SOURCES unit/disk/format_v1_test.c LINKS cairn_disk cairn_sim)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME format_v1_image COMMAND Python3::Interpreter
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/disk/format_v1.py --check ${CMAKE_CURRENT_SOURCE_DIR}/unit/disk/format_v1.def)
set_tests_properties(format_v1_image PROPERTIES TIMEOUT 60 LABELS unit)
cairn_test(log_scan_test SOURCES unit/disk/log_scan_test.c LINKS cairn_disk cairn_sim)
cairn_test(log_tail_test
    SOURCES unit/disk/log_tail_test.c unit/disk/log_bench.c LINKS cairn_disk cairn_sim)
cairn_test(source_test
    SOURCES unit/disk/source_test.c unit/disk/stream_bench.c LINKS cairn_storage cairn_sim)
cairn_test(mirror_drop_test
    SOURCES unit/disk/mirror_drop_test.c unit/disk/stream_bench.c LINKS cairn_storage cairn_sim)
cairn_test(mirror_chunk_test
    SOURCES unit/disk/mirror_chunk_test.c unit/disk/stream_bench.c LINKS cairn_storage cairn_sim)
cairn_test(floor_test
    SOURCES unit/disk/floor_test.c unit/disk/stream_bench.c LINKS cairn_storage cairn_sim)
foreach(name mount_host single)
    cairn_test_on_epoll(${name}_test)
endforeach()
