foreach(module args date latency manifest parse progress)
    cairn_test(${module}_test SOURCES unit/bin/${module}_test.c LINKS cairn_cli)
endforeach()
cairn_test(client_op_test SOURCES unit/client/op_test.c unit/client/fake.c LINKS cairn_client)
