cairn_test(status_test SOURCES unit/tracker/status_test.c LINKS cairn_tracker)
cairn_test(tracker_test SOURCES unit/tracker/tracker_test.c unit/tracker/town.c
    LINKS cairn_tracker cairn_storage)
cairn_test_on_epoll(tracker_test)
