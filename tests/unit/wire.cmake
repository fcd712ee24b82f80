cairn_test(base64url_test SOURCES unit/wire/base64url_test.c LINKS cairn_wire)
cairn_test(fid_test SOURCES unit/wire/fid_test.c LINKS cairn_wire)
cairn_test(frame_test SOURCES unit/wire/frame_test.c LINKS cairn_wire)
cairn_test(msg_test SOURCES unit/wire/msg_test.c LINKS cairn_wire)
