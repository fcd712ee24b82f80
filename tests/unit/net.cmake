cairn_test(net_server_test SOURCES unit/net/server_test.c unit/net/fixture.c LINKS cairn_net)
