cairn_test(doors_ops_page_test SOURCES unit/doors/ops_page_test.c LINKS cairn_doors cairn_io)
