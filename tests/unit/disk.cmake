cairn_test(slotmap_test SOURCES unit/disk/slotmap_test.c LINKS cairn_disk)
