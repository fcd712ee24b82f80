
cairn_fuzz(slotmap SOURCES fuzz/slotmap_fuzz.c CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/slotmap LINKS cairn_disk)
