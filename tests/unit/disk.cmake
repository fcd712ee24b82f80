cairn_test(blocks_test SOURCES unit/disk/blocks_test.c LINKS cairn_disk)
cairn_test(slotmap_test SOURCES unit/disk/slotmap_test.c LINKS cairn_disk)
cairn_test(space_test SOURCES unit/disk/space_test.c LINKS cairn_disk)
