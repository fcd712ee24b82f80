cairn_test(client_op_test SOURCES unit/client/op_test.c unit/client/fake.c LINKS cairn_client)

cairn_test(args_test SOURCES unit/bin/args_test.c LINKS cairn_cli)
cairn_test(date_test SOURCES unit/bin/date_test.c LINKS cairn_cli)
cairn_test(latency_test SOURCES unit/bin/latency_test.c LINKS cairn_cli)
cairn_test(manifest_test SOURCES unit/bin/manifest_test.c LINKS cairn_cli)
cairn_test(parse_test SOURCES unit/bin/parse_test.c LINKS cairn_cli)
cairn_test(progress_test SOURCES unit/bin/progress_test.c LINKS cairn_cli)
