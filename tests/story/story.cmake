cairn_test(tracker_story SOURCES story/tracker_story.c LINKS cairn_sim cairn_tracker cairn_storage)

# The swarm of the storage engine: 10,000 seeds, in two halves so that both run at once.
add_executable(store_swarm story/store_swarm.c)
target_link_libraries(store_swarm PRIVATE cairn_sim_store cairn_base cairn_flags)
add_test(NAME store_swarm_low COMMAND store_swarm --seeds 1-5000)
add_test(NAME store_swarm_high COMMAND store_swarm --seeds 5001-10000)
add_test(NAME store_swarm_large COMMAND store_swarm --large --seeds 1-400)
set_tests_properties(store_swarm_low store_swarm_high store_swarm_large PROPERTIES TIMEOUT 1200 LABELS story)
cairn_test(store_canary SOURCES story/canary_test.c LINKS cairn_sim_store TIMEOUT 300)

# The swarm of whole clusters, in two halves; the verb is tested with it.
add_test(NAME cluster_swarm_low COMMAND cairn sim --seeds 1-500)
add_test(NAME cluster_swarm_high COMMAND cairn sim --seeds 501-1000)
set_tests_properties(cluster_swarm_low cluster_swarm_high PROPERTIES TIMEOUT 1200 LABELS story)
cairn_test(cluster_story SOURCES story/cluster_story.c LINKS cairn_sim_cluster TIMEOUT 300)
