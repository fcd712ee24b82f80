cairn_test(tracker_story SOURCES story/tracker_story.c LINKS cairn_sim cairn_tracker cairn_storage)

# The swarm of the storage engine: 10,000 seeds, in two halves so that both run at once.
add_executable(store_swarm story/store_swarm.c)
target_link_libraries(store_swarm PRIVATE cairn_sim_store cairn_base cairn_flags)
add_test(NAME store_swarm_low COMMAND store_swarm --seeds 1-5000)
add_test(NAME store_swarm_high COMMAND store_swarm --seeds 5001-10000)
add_test(NAME store_swarm_large COMMAND store_swarm --large --seeds 1-400)
set_tests_properties(store_swarm_low store_swarm_high store_swarm_large PROPERTIES TIMEOUT 1200 LABELS story)
cairn_test(store_canary SOURCES story/canary_test.c LINKS cairn_sim_store TIMEOUT 300)

# The swarm of whole clusters, in parts; the verb is tested with it. Of those with bad disks the seeds that
# are open are in doc/testing.md.
foreach(seeds 1-500 501-1000 1001-1500 1501-2000)
    add_test(NAME cluster_swarm_${seeds} COMMAND cairn sim --seeds ${seeds})
    set_tests_properties(cluster_swarm_${seeds} PROPERTIES TIMEOUT 1200 LABELS story)
endforeach()
foreach(seeds 1-125 126-250)
    add_test(NAME cluster_swarm_bad_disks_${seeds} COMMAND cairn sim --bad-disks --seeds ${seeds})
    set_tests_properties(cluster_swarm_bad_disks_${seeds} PROPERTIES TIMEOUT 1200 LABELS story)
endforeach()

# A mistake is put into one source file; the swarm has to find it within so many seeds. No semicolons in
# the texts: CMake would take them for lists.
# cluster_canary(name SOURCE src/x/y.c FROM "text" TO "text" SEEDS n)
function(cluster_canary name)
    cmake_parse_arguments(ARG "" "SOURCE;FROM;TO;SEEDS" "" ${ARGN})
    set(source ${PROJECT_SOURCE_DIR}/${ARG_SOURCE})
    set(mutant ${CMAKE_CURRENT_BINARY_DIR}/canary_${name}.c)
    add_custom_command(OUTPUT ${mutant}
        COMMAND ${PROJECT_SOURCE_DIR}/tools/mutate ${source} ${mutant} "${ARG_FROM}" "${ARG_TO}"
        DEPENDS ${source} ${PROJECT_SOURCE_DIR}/tools/mutate VERBATIM)
    add_executable(canary_${name} story/cluster_canary.c ${mutant})
    target_link_libraries(canary_${name} PRIVATE cairn_sim_cluster cairn_flags PkgConfig::URING)
    target_compile_options(canary_${name} PRIVATE -Wno-error -Wno-unused)
    add_test(NAME cluster_canary_${name} COMMAND canary_${name} ${ARG_SEEDS})
    set_tests_properties(cluster_canary_${name} PROPERTIES TIMEOUT 300 LABELS story)
endfunction()

cluster_canary(what_is_in_memory_is_called_durable SOURCE src/storage/upload.c
    FROM "upload_tell(upload, ACK_MEMORY)" TO "upload_tell(upload, ACK_LOCAL)" SEEDS 300)
cairn_test(cluster_story SOURCES story/cluster_story.c LINKS cairn_sim_cluster TIMEOUT 300)

cairn_test(members_story SOURCES story/members_story.c LINKS cairn_sim_cluster TIMEOUT 300)
set_tests_properties(members_story PROPERTIES LABELS story)

# The same with the stories, which must fail then.
function(story_canary name)
    cmake_parse_arguments(ARG "" "SOURCE;FROM;TO" "" ${ARGN})
    set(source ${PROJECT_SOURCE_DIR}/${ARG_SOURCE})
    set(mutant ${CMAKE_CURRENT_BINARY_DIR}/canary_${name}.c)
    add_custom_command(OUTPUT ${mutant}
        COMMAND ${PROJECT_SOURCE_DIR}/tools/mutate ${source} ${mutant} "${ARG_FROM}" "${ARG_TO}"
        DEPENDS ${source} ${PROJECT_SOURCE_DIR}/tools/mutate VERBATIM)
    add_executable(canary_${name} story/cluster_story.c ${mutant} ${PROJECT_SOURCE_DIR}/tests/lib/test.c)
    target_link_libraries(canary_${name} PRIVATE cairn_sim_cluster cairn_flags PkgConfig::URING)
    target_compile_options(canary_${name} PRIVATE -Wno-error -Wno-unused)
    add_test(NAME cluster_canary_${name} COMMAND canary_${name})
    set_tests_properties(cluster_canary_${name} PROPERTIES TIMEOUT 300 LABELS story WILL_FAIL TRUE)
endfunction()

story_canary(a_refused_record_is_answered_as_held SOURCE src/storage/native_follow.c
    FROM "fail_from(push, intake->err, intake->why)" TO "(void)push")
story_canary(a_position_moves_before_its_records_are_held SOURCE src/storage/native_follow.c
    FROM "list_push_back(&follower->pushes, &push->link)"
    TO "list_push_back(&follower->pushes, &push->link), move_position(push)")
story_canary(an_older_version_is_applied SOURCE src/core/apply.c
    FROM "version_newest(now->version, now->wants)) < 0) ret->verdict = APPLY_SUPERSEDED"
    TO "version_newest(now->version, now->wants)) < -1) ret->verdict = APPLY_SUPERSEDED")
