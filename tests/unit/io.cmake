cairn_test(address_test SOURCES unit/io/address_test.c LINKS cairn_io)
cairn_test(uring_file_test SOURCES unit/io/uring_file_test.c unit/io/fixture.c LINKS cairn_io)
cairn_test(uring_net_test SOURCES unit/io/uring_net_test.c unit/io/fixture.c LINKS cairn_io)
