cairn_test(heartbeat_test SOURCES unit/storage/heartbeat_test.c unit/tracker/town.c
    LINKS cairn_tracker cairn_storage)
