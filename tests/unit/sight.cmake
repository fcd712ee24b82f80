cairn_test(census_test SOURCES unit/sight/census_test.c LINKS cairn_sight)
cairn_test(growth_test SOURCES unit/sight/growth_test.c LINKS cairn_sight)
cairn_test(reality_test SOURCES unit/sight/reality_test.c LINKS cairn_sight)
cairn_test(sight_test SOURCES unit/sight/sight_test.c LINKS cairn_sight)
