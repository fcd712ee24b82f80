cairn_test(blocks_test SOURCES unit/disk/blocks_test.c LINKS cairn_disk)
cairn_test(slotmap_test SOURCES unit/disk/slotmap_test.c LINKS cairn_disk)
cairn_test(space_test SOURCES unit/disk/space_test.c LINKS cairn_disk)
cairn_test(mount_image_test SOURCES unit/disk/mount_image_test.c LINKS cairn_disk)
cairn_test(mount_test SOURCES unit/disk/mount_test.c LINKS cairn_disk cairn_sim)
cairn_test(mount_uring_test SOURCES unit/disk/mount_uring_test.c unit/io/fixture.c LINKS cairn_disk)
cairn_test(single_test
    SOURCES unit/disk/single_test.c unit/disk/single_bench.c unit/io/fixture.c
    LINKS cairn_disk cairn_sim)
cairn_test(single_crash_test
    SOURCES unit/disk/single_crash_test.c unit/disk/single_bench.c LINKS cairn_disk cairn_sim)
