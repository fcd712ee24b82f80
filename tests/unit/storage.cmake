
cairn_test(storage_lab_test SOURCES unit/storage/lab_test.c LINKS cairn_sim_store)
