
cairn_fuzz(slotmap SOURCES fuzz/slotmap_fuzz.c CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/slotmap LINKS cairn_disk)
cairn_fuzz(fid SOURCES fuzz/fid_fuzz.c CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/fid LINKS cairn_wire)
cairn_fuzz(frame SOURCES fuzz/frame_fuzz.c CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/frame LINKS cairn_wire)
cairn_fuzz(msg SOURCES fuzz/msg_fuzz.c CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/msg LINKS cairn_wire)
cairn_fuzz(config SOURCES fuzz/config_fuzz.c CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/config)
cairn_fuzz(mount_image SOURCES fuzz/mount_image_fuzz.c CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/mount_image LINKS cairn_disk)
cairn_fuzz(net_server SOURCES fuzz/net_server_fuzz.c CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/net_server LINKS cairn_net cairn_sim)
