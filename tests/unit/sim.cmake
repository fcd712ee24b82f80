cairn_test(sim_content_test SOURCES unit/sim/content_test.c LINKS cairn_sim)
cairn_test(sim_disk_test SOURCES unit/sim/disk_test.c LINKS cairn_sim)
cairn_test(sim_crash_test SOURCES unit/sim/crash_test.c LINKS cairn_sim)
