cairn_test(heartbeat_test SOURCES unit/storage/heartbeat_test.c unit/tracker/town.c
    LINKS cairn_tracker cairn_storage)
cairn_test(storage_server_test SOURCES unit/storage/server_test.c unit/storage/hall.c
    LINKS cairn_storage)

cairn_test(storage_lab_test SOURCES unit/storage/lab_test.c LINKS cairn_sim_store)
