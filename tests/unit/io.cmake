cairn_test(address_test SOURCES unit/io/address_test.c LINKS cairn_io)
