cairn_test(net_server_test SOURCES unit/net/server_test.c unit/net/fixture.c LINKS cairn_net)
cairn_test(net_handshake_test SOURCES unit/net/handshake_test.c LINKS cairn_net)
cairn_test(net_client_test SOURCES unit/net/client_test.c unit/net/fixture.c LINKS cairn_net)
cairn_test(net_move_test SOURCES unit/net/move_test.c unit/net/fixture.c LINKS cairn_net)
