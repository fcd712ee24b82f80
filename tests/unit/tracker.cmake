cairn_test(status_test SOURCES unit/tracker/status_test.c LINKS cairn_tracker)
