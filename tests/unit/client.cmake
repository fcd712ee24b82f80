foreach(module args date latency manifest parse progress)
    cairn_test(${module}_test SOURCES unit/bin/${module}_test.c LINKS cairn_cli)
endforeach()
