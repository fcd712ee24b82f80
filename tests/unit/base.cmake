cairn_test(stage_test SOURCES unit/base/stage_test.c)
