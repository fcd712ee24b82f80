cairn_test(heartbeat_test SOURCES unit/storage/heartbeat_test.c unit/tracker/town.c
    LINKS cairn_tracker cairn_storage)
cairn_test(storage_server_test SOURCES unit/storage/server_test.c unit/storage/hall.c
    LINKS cairn_storage TIMEOUT 300)

cairn_test(storage_lab_test SOURCES unit/storage/lab_test.c unit/storage/stand.c
    LINKS cairn_sim_store)
cairn_test(storage_size_test SOURCES unit/storage/size_test.c unit/storage/stand.c
    LINKS cairn_sim_store)
cairn_test(storage_full_test SOURCES unit/storage/full_test.c unit/storage/stand.c
    LINKS cairn_sim_store TIMEOUT 300)
cairn_test(storage_refusal_test SOURCES unit/storage/refusal_test.c unit/storage/stand.c
    LINKS cairn_sim_store TIMEOUT 300)
cairn_test(storage_config_test SOURCES unit/storage/config_test.c LINKS cairn_storage)
cairn_test(storage_budget_test SOURCES unit/storage/budget_test.c LINKS cairn_storage)
cairn_test(storage_placement_test SOURCES unit/storage/placement_test.c LINKS cairn_storage)
cairn_test(storage_role_sim_test SOURCES unit/storage/role_sim_test.c LINKS cairn_sim cairn_storage)
cairn_test(storage_check_test SOURCES unit/storage/check_test.c unit/storage/hall.c
    LINKS cairn_storage)
cairn_test(storage_members_test SOURCES unit/storage/members_test.c LINKS cairn_storage)
cairn_test(storage_peer_test SOURCES unit/storage/peer_test.c unit/storage/group.c
    LINKS cairn_sim cairn_storage)
cairn_test(storage_route_test SOURCES unit/storage/route_test.c LINKS cairn_storage)
cairn_test(storage_follow_test SOURCES unit/storage/follow_test.c unit/storage/stand.c
    LINKS cairn_sim_store)
cairn_test(storage_pull_test SOURCES unit/storage/pull_test.c unit/storage/group.c
    LINKS cairn_sim cairn_storage)
cairn_test(storage_push_test SOURCES unit/storage/push_test.c unit/storage/follower.c unit/storage/stand.c
    LINKS cairn_sim_store cairn_net TIMEOUT 300)
cairn_test(storage_intake_test SOURCES unit/storage/intake_test.c unit/storage/mirror_stand.c
        unit/storage/stand.c
    LINKS cairn_sim_store TIMEOUT 300)
cairn_test(storage_intake_swarm_test SOURCES unit/storage/intake_swarm_test.c
        unit/storage/mirror_stand.c unit/storage/stand.c
    LINKS cairn_sim_store TIMEOUT 300)
cairn_test(storage_push_gate_test SOURCES unit/storage/push_gate_test.c LINKS cairn_storage)
cairn_test(storage_reconcile_test SOURCES unit/storage/reconcile_test.c unit/storage/group.c
    LINKS cairn_sim cairn_storage)
cairn_test(storage_roster_test SOURCES unit/storage/roster_test.c LINKS cairn_storage)
cairn_test(storage_mirror_test SOURCES unit/storage/mirror_test.c unit/storage/group.c
    LINKS cairn_sim cairn_storage)
cairn_test(storage_ack_test SOURCES unit/storage/ack_test.c unit/storage/group.c LINKS cairn_sim cairn_storage)
cairn_test(storage_retry_test SOURCES unit/storage/retry_test.c unit/storage/hall.c
    LINKS cairn_storage TIMEOUT 120)
cairn_test(storage_retry_crash_test SOURCES unit/storage/retry_crash_test.c unit/storage/stand.c
    LINKS cairn_sim_store)
cairn_test(storage_scrub_test SOURCES unit/storage/scrub_test.c unit/storage/group.c
    LINKS cairn_sim cairn_storage)
cairn_test(storage_intake_fault_test SOURCES unit/storage/intake_fault_test.c
        unit/storage/mirror_stand.c unit/storage/stand.c
    LINKS cairn_sim_store TIMEOUT 300)
cairn_test(storage_attributes_test SOURCES unit/storage/attributes_test.c unit/storage/stand.c
    LINKS cairn_sim_store)
cairn_test(fdfs_slave_test SOURCES unit/storage/fdfs_slave_test.c LINKS cairn_storage)
