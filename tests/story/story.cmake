cairn_test(tracker_story SOURCES story/tracker_story.c LINKS cairn_sim cairn_tracker cairn_storage)

add_executable(store_swarm story/store_swarm.c)
target_link_libraries(store_swarm PRIVATE cairn_sim_store cairn_base cairn_flags)
