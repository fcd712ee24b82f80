cairn_test(balance_test SOURCES unit/core/balance_test.c LINKS cairn_core)
cairn_test(apply_test SOURCES unit/core/apply_test.c unit/core/apply_model.c LINKS cairn_core)
cairn_test(registry_test SOURCES unit/core/registry_test.c LINKS cairn_core)
