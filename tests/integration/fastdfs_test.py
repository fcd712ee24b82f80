"""The FastDFS doors of `cairn up --fastdfs`, asked by a client written from the fact sheet alone: every command, its
errors, and what no client should send."""

import hashlib
import os
import random
import struct
import time
import unittest
import zlib

import fastdfs_client as fdfs
from cluster import ClusterTest, Server
from fastdfs_client import EEXIST, EFBIG, EINVAL, ENOENT, EOPNOTSUPP, EBUSY, Storage, Tracker, padded, split_id

GROUP = "g1"
SIZES = (0, 1, 100, 4096, 20000, 70000, 300000, 3000000)


def content(size, seed=1):
    return random.Random(size * 1000 + seed).randbytes(size)


class FastdfsTest(ClusterTest):
    flags = ["--fastdfs", "--loops", "2"]

    def setUp(self):
        super().setUp()
        self.storage = self.connect()
        self.tracker = Tracker(self.server.ready["fastdfs_tracker"])
        self.addCleanup(self.tracker.close)

    def connect(self):
        storage = Storage(self.server.ready["fastdfs"], GROUP)
        self.addCleanup(storage.close)
        return storage

    def assert_refused(self, status, call, *arguments):
        with self.assertRaises(fdfs.Refused) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.status, status)


class TrackerTest(FastdfsTest):
    def test_an_active_test_is_answered_by_both(self):
        self.tracker.ping()
        self.storage.ping()

    def test_a_store_is_named_with_and_without_a_group(self):
        address = self.server.ready["fastdfs"]
        self.assertEqual(self.tracker.store(), (GROUP, address, 0))
        self.assertEqual(self.tracker.store(GROUP), (GROUP, address, 0))
        self.assertEqual(self.tracker.store_all(), (GROUP, [address], 0))
        self.assertEqual(self.tracker.store_all(GROUP), (GROUP, [address], 0))

    def test_a_file_is_located_for_reading_and_for_changes(self):
        address = self.server.ready["fastdfs"]
        file_id = self.storage.upload(b"here", "txt")
        self.assertEqual(self.tracker.fetch(file_id), address)
        self.assertEqual(self.tracker.fetch_all(file_id), [address])
        self.assertEqual(self.tracker.update(file_id), address)

    def test_groups_and_storages_are_listed(self):
        group = self.tracker.list_group(GROUP)
        self.assertEqual(self.tracker.list_groups(), [group])
        self.assertEqual((group["name"], group["storages"], group["writable"]), (GROUP, 1, 1))
        self.assertGreater(group["total"], group["free"])
        (storage,) = self.tracker.list_storages(GROUP)
        port = int(self.server.ready["fastdfs"].rsplit(":", 1)[1])
        self.assertEqual((storage["status"], storage["id"], storage["ip"], storage["port"]), (7, "1", "127.0.0.1", port))
        self.assertLess(abs(storage["heartbeat"] - time.time()), 60)
        self.assertEqual(self.tracker.list_storages(GROUP, "127.0.0.1"), self.tracker.list_storages(GROUP, "1"))
        self.assert_refused(ENOENT, self.tracker.list_storages, GROUP, "9")

    def test_states_ids_and_parameters_are_told(self):
        address = self.server.ready["fastdfs"]
        state = self.tracker.ask(fdfs.STORAGE_STATUS, padded(GROUP, 16) + b"127.0.0.1")
        self.assertEqual((len(state), state[0], fdfs.text_of(state[5:21])), (67, 7, "1"))
        self.assertEqual(self.tracker.ask(fdfs.STORAGE_ID, padded(GROUP, 16) + address.encode()), b"1")
        self.assertEqual(self.tracker.ask(fdfs.STORAGE_IDS, struct.pack(">iB", 0, 1)),
                         struct.pack(">ii", 1, 1) + f"1 {GROUP} {address}\n".encode())
        self.assertIn(b"use_storage_id=1\n", self.tracker.ask(fdfs.PARAMETERS))

    def test_foreign_groups_are_not_there(self):
        other = "group9/M00/00/00/fwAAUmsDsdyAUAdeAAAAHm7i4hc444.txt"
        self.assert_refused(ENOENT, self.tracker.store, "group9")
        self.assert_refused(ENOENT, self.tracker.store_all, "group9")
        self.assert_refused(ENOENT, self.tracker.fetch, other)
        self.assert_refused(ENOENT, self.tracker.update, other)
        self.assert_refused(ENOENT, self.tracker.list_group, "group9")
        self.assert_refused(ENOENT, self.tracker.list_storages, "group9")
        self.assert_refused(ENOENT, self.tracker.ask, fdfs.STORAGE_STATUS, padded("group9", 16))
        self.assert_refused(ENOENT, self.tracker.ask, fdfs.DELETE_GROUP, padded("group9", 16))

    def test_what_is_alive_is_not_deleted(self):
        self.assert_refused(EBUSY, self.tracker.ask, fdfs.DELETE_STORAGE, padded(GROUP, 16) + b"1")
        self.assert_refused(EBUSY, self.tracker.ask, fdfs.DELETE_GROUP, padded(GROUP, 16))

    def test_what_a_tracker_of_ours_has_not_is_refused(self):
        for command, body in ((fdfs.SET_TRUNK, padded(GROUP, 16)), (fdfs.LEADER, b""), (96, bytes(3)), (97, bytes(4)),
                              (98, bytes(4))):
            self.assert_refused(EOPNOTSUPP, self.tracker.ask, command, body)

    def test_malformed_questions_are_answered_and_the_connection_stays(self):
        for command, body in ((fdfs.STORE, b"x"), (fdfs.STORE_GROUP, b"short"), (fdfs.FETCH, padded(GROUP, 16)),
                              (fdfs.FETCH, padded(GROUP, 16) + b"M00/../../../etc/passwd"),
                              (fdfs.STORE_GROUP, padded("../..", 16)), (fdfs.UPDATE, padded(GROUP, 16) + b"x" * 128),
                              (fdfs.STORAGE_IDS, b""), (fdfs.UPLOAD, bytes(15)), (200, b"")):
            self.assert_refused(EINVAL, self.tracker.ask, command, body)
        self.tracker.ping()


class FileTest(FastdfsTest):
    def test_every_size_comes_back(self):
        for size in SIZES:
            data = content(size)
            file_id = self.storage.upload(data, "bin")
            self.assertEqual(self.storage.download(file_id), data, size)

    def test_ids_tell_source_time_size_and_crc(self):
        for size in SIZES:
            data = content(size)
            told = fdfs.decode_name(self.storage.upload(data, "bin"))
            self.assertEqual((told["source"], told["size"], told["crc"], told["is_appender"]),
                             (1, size, zlib.crc32(data), False))
            self.assertLess(abs(told["time"] - time.time()), 60)
        told = fdfs.decode_name(self.storage.upload_appender(b"abc"))
        self.assertTrue(told["is_appender"])

    def test_suffixes_are_kept(self):
        for ext in ("", "a", "txt", "tar.gz", "jpeg", "A_-9"):
            file_id = self.storage.upload(b"x", ext)
            self.assertTrue(file_id.endswith("." + ext) if ext else "." not in file_id, file_id)
            self.assertEqual(self.storage.download(file_id), b"x")
        for ext in ("a/b", "..", ".a", "a b"):
            self.assert_refused(EINVAL, self.storage.upload, b"x", ext)

    def test_any_store_path_is_taken(self):
        for path in (0, 1, 0xFF):
            self.assertEqual(self.storage.download(self.storage.upload(b"x", "txt", path=path)), b"x")

    def test_ranges_are_clipped_at_the_end(self):
        for size in (5000, 300000):
            data = content(size)
            file_id = self.storage.upload(data, "bin")
            self.assertEqual(self.storage.download(file_id, 10, 20), data[10:30])
            self.assertEqual(self.storage.download(file_id, size - 5, 100), data[-5:])
            self.assertEqual(self.storage.download(file_id, 7), data[7:])
            self.assert_refused(EINVAL, self.storage.download, file_id, size)
            self.assert_refused(EINVAL, self.storage.download, file_id, size + 1)
            self.assert_refused(EINVAL, self.storage.download, file_id, -1)
            self.assert_refused(EINVAL, self.storage.download, file_id, 0, -1)

    def test_a_file_tells_size_time_crc_and_source(self):
        data = content(5000)
        info = self.storage.info(self.storage.upload(data, "bin"))
        self.assertEqual((info["size"], info["crc"], info["ip"]), (5000, zlib.crc32(data), "127.0.0.1"))
        self.assertLess(abs(info["time"] - time.time()), 60)
        appender = self.storage.upload_appender(data, "bin")
        self.assertEqual(self.storage.info(appender)["crc"], zlib.crc32(data))
        self.assertEqual(self.storage.info(appender, flags=1)["crc"], 0)

    def test_a_deleted_file_is_gone(self):
        for size in (100, 300000):
            file_id = self.storage.upload(content(size), "bin")
            self.storage.delete(file_id)
            for call in (self.storage.download, self.storage.info, self.storage.metadata, self.storage.delete):
                self.assert_refused(ENOENT, call, file_id)

    def test_the_native_door_sees_the_same_files(self):
        file_id = self.storage.upload(b"one store", "txt")
        self.assertEqual(self.cairn("get", file_id, "-o", "-"), b"one store")
        (line,) = self.cairn("put", self.write("native.txt", b"the other way")).decode().splitlines()
        self.assertEqual(self.storage.download(line.split("\t")[0]), b"the other way")

    def test_another_group_is_refused(self):
        stranger = Storage(self.server.ready["fastdfs"], "group9")
        self.addCleanup(stranger.close)
        file_id = self.storage.upload(b"mine", "txt")
        for call in (stranger.download, stranger.info, stranger.delete, stranger.metadata):
            self.assert_refused(EINVAL, call, file_id)
        self.assert_refused(EINVAL, stranger.set_metadata, file_id, {"a": "b"})
        self.assertEqual(self.storage.download(file_id), b"mine")

    def test_links_are_refused(self):
        self.assert_refused(EOPNOTSUPP, self.storage.ask, fdfs.LINK, bytes(60))


class AppenderTest(FastdfsTest):
    def test_append_modify_and_truncate(self):
        for size in (10, 20000, 300000):
            data = bytearray(content(size))
            file_id = self.storage.upload_appender(bytes(data), "log")
            self.storage.append(file_id, b"tail" * 100)
            data += b"tail" * 100
            self.storage.modify(file_id, 3, b"MIDDLE")
            data[3:9] = b"MIDDLE"
            self.storage.modify(file_id, len(data), b"at the end")
            data += b"at the end"
            self.assertEqual(self.storage.download(file_id), bytes(data))
            self.storage.truncate(file_id, 7)
            self.assertEqual(self.storage.download(file_id), bytes(data[:7]))
            self.storage.truncate(file_id, 1000)
            self.assertEqual(self.storage.download(file_id), bytes(data[:7]) + bytes(993))
            info = self.storage.info(file_id)
            self.assertEqual((info["size"], info["crc"]), (1000, zlib.crc32(bytes(data[:7]) + bytes(993))))

    def test_an_appender_grows_from_nothing_over_its_slot(self):
        file_id = self.storage.upload_appender(b"", "log")
        data = b""
        for i in range(12):
            piece = content(40000, i)
            self.storage.append(file_id, piece)
            data += piece
        self.assertEqual(self.storage.download(file_id), data)

    def test_changes_of_nothing_have_a_clean_answer(self):
        file_id = self.storage.upload_appender(b"abc", "log")
        self.storage.append(file_id, b"")
        self.storage.truncate(file_id, 3)
        self.storage.modify(file_id, 1, b"")
        self.assertEqual(self.storage.download(file_id), b"abc")

    def test_a_modify_behind_the_end_is_refused(self):
        file_id = self.storage.upload_appender(b"abc", "log")
        self.assert_refused(EINVAL, self.storage.modify, file_id, 4, b"x")
        self.assertEqual(self.storage.download(file_id), b"abc")

    def test_a_plain_file_is_no_appender(self):
        file_id = self.storage.upload(b"abc", "txt")
        self.assert_refused(EINVAL, self.storage.append, file_id, b"x")
        self.assert_refused(EINVAL, self.storage.modify, file_id, 0, b"x")
        self.assert_refused(EINVAL, self.storage.truncate, file_id, 0)
        self.assertEqual(self.storage.download(file_id), b"abc")

    def test_an_appender_that_is_gone(self):
        file_id = self.storage.upload_appender(b"abc", "log")
        self.storage.delete(file_id)
        self.assert_refused(ENOENT, self.storage.append, file_id, b"x")
        self.assert_refused(ENOENT, self.storage.truncate, file_id, 0)

    def regenerate(self, file_id):
        body = self.storage.regenerate(file_id)
        return f"{fdfs.text_of(body[:16])}/{body[16:].decode()}"

    def test_a_regenerated_name_tells_size_and_crc_and_the_old_one_is_gone(self):
        for size in SIZES:
            data = content(size) + b", appended"
            file_id = self.storage.upload_appender(content(size), "log")
            self.storage.append(file_id, b", appended")
            self.storage.set_metadata(file_id, {"kind": "log"})
            slave = self.storage.upload_slave(file_id, "_s", b"slave", "txt")
            new = self.regenerate(file_id)
            told = fdfs.decode_name(new)
            self.assertEqual((told["size"], told["crc"], told["is_appender"]), (len(data), zlib.crc32(data), False))
            self.assertTrue(new.endswith(file_id[-7:]))
            self.assertEqual(self.storage.download(new), data)
            self.assertEqual(self.storage.metadata(new), {"kind": "log"})
            self.assertEqual(self.storage.info(new)["crc"], zlib.crc32(data))
            self.assertEqual(self.storage.download(new.replace(".log", "_s.txt")), b"slave")
            for old in (file_id, slave):
                self.assert_refused(ENOENT, self.storage.download, old)
            self.assert_refused(ENOENT, self.storage.append, file_id, b"more")
            self.assert_refused(ENOENT, self.storage.regenerate, file_id)
            self.assert_refused(EINVAL, self.storage.append, new, b"more")
            self.assertEqual(self.cairn("get", new), data)
            self.storage.delete(new)
            self.assert_refused(ENOENT, self.storage.download, new)

    def test_a_regenerated_name_survives_a_kill(self):
        files = {}
        for size in SIZES:
            file_id = self.storage.upload_appender(content(size), "log")
            files[self.regenerate(file_id)] = content(size)
        self.server.kill()
        self.server.start()
        self.storage = self.connect()
        for file_id, data in files.items():
            self.assertEqual(self.storage.download(file_id), data)

    def test_names_of_other_files_are_not_regenerated(self):
        self.assert_refused(EINVAL, self.storage.regenerate, self.storage.upload(b"fixed", "txt"))
        self.assert_refused(ENOENT, self.storage.regenerate, self.gone())

    def gone(self):
        file_id = self.storage.upload_appender(b"gone", "log")
        self.storage.delete(file_id)
        return file_id


class MetadataTest(FastdfsTest):
    def test_metadata_is_overwritten_merged_and_deleted(self):
        for size in SIZES:
            data = content(size)
            file_id = self.storage.upload(data, "jpg")
            self.assert_refused(ENOENT, self.storage.metadata, file_id)
            self.storage.set_metadata(file_id, {"width": "1024", "height": "768"})
            self.assertEqual(self.storage.metadata(file_id), {"height": "768", "width": "1024"})
            self.storage.set_metadata(file_id, {"width": "2048", "author": "somebody"}, b"M")
            self.assertEqual(list(self.storage.metadata(file_id).items()),
                             [("author", "somebody"), ("height", "768"), ("width", "2048")])
            self.storage.set_metadata(file_id, {"only": "this"})
            self.assertEqual(self.storage.metadata(file_id), {"only": "this"})
            self.assertEqual(self.storage.download(file_id), data)
            self.assertEqual(self.storage.info(file_id)["crc"], zlib.crc32(data))
            self.storage.set_metadata(file_id, b"")
            self.assert_refused(ENOENT, self.storage.metadata, file_id)

    def test_an_appender_keeps_its_metadata_over_changes(self):
        file_id = self.storage.upload_appender(b"abc", "log")
        self.storage.set_metadata(file_id, {"kind": "log", "note": "n" * 200})
        for i in range(10):
            self.storage.append(file_id, content(40000, i))
        self.storage.set_metadata(file_id, {"more": "1"}, b"M")
        self.storage.truncate(file_id, 3)
        self.assertEqual(self.storage.metadata(file_id), {"kind": "log", "more": "1", "note": "n" * 200})
        self.assertEqual(self.storage.download(file_id), b"abc")

    def test_metadata_has_limits(self):
        file_id = self.storage.upload(b"abc", "txt")
        self.storage.set_metadata(file_id, {"old": "stays"})
        self.assert_refused(EINVAL, self.storage.set_metadata, file_id, b"no separator")
        self.assert_refused(EINVAL, self.storage.set_metadata, file_id, {"n" * 65: "v"})
        self.assert_refused(EINVAL, self.storage.set_metadata, file_id, {"n": "v" * 257})
        self.assert_refused(EINVAL, self.storage.set_metadata, file_id, {"n": "v"}, b"X")
        self.assert_refused(EFBIG, self.storage.set_metadata, file_id, {f"n{i}": "v" * 250 for i in range(5)})
        self.assert_refused(EFBIG, self.storage.set_metadata, file_id, {f"n{i}": "v" * 250 for i in range(100)})
        self.assertEqual(self.storage.metadata(file_id), {"old": "stays"})
        self.storage.set_metadata(file_id, {"n": "v" * 256, "m" * 64: "v"})


class SlaveTest(FastdfsTest):
    def test_slaves_are_addressed_by_the_name_of_their_master(self):
        for size in SIZES:
            master = self.storage.upload(content(size), "jpg")
            small = self.storage.upload_slave(master, "_150x150", content(3000), "jpg")
            large = self.storage.upload_slave(master, "-big", content(300000), "png")
            plain = self.storage.upload_slave(master, "raw", content(10))
            self.assertEqual(small, master.replace(".jpg", "_150x150.jpg"))
            self.assertEqual(large, master.replace(".jpg", "-big.png"))
            self.assertEqual(plain, master.replace(".jpg", "raw"))
            for slave, want in ((small, 3000), (large, 300000), (plain, 10)):
                self.assertEqual(self.storage.download(slave), content(want))
                info = self.storage.info(slave)
                self.assertEqual((info["size"], info["crc"]), (want, zlib.crc32(content(want))))
                self.tracker.fetch(slave)
                self.tracker.update(slave)
            self.assertEqual(self.storage.download(master), content(size))

    def test_a_name_that_is_taken_is_refused_until_its_slave_is_deleted(self):
        master = self.storage.upload(b"master", "jpg")
        slave = self.storage.upload_slave(master, "_s", b"first", "jpg")
        self.assert_refused(EEXIST, self.storage.upload_slave, master, "_s", b"second", "jpg")
        self.assertEqual(self.storage.download(slave), b"first")
        self.storage.delete(slave)
        self.assert_refused(ENOENT, self.storage.download, slave)
        self.assert_refused(ENOENT, self.storage.delete, slave)
        self.assertEqual(self.storage.upload_slave(master, "_s", b"third", "jpg"), slave)
        self.assertEqual(self.storage.download(slave), b"third")

    def test_slaves_have_metadata_of_their_own(self):
        master = self.storage.upload(b"master", "jpg")
        slave = self.storage.upload_slave(master, "_s", b"slave", "jpg")
        self.storage.set_metadata(master, {"whose": "master"})
        self.storage.set_metadata(slave, {"whose": "slave"})
        self.assertEqual(self.storage.metadata(master), {"whose": "master"})
        self.assertEqual(self.storage.metadata(slave), {"whose": "slave"})
        self.assertEqual(self.storage.download(slave), b"slave")

    def test_slaves_go_with_their_master(self):
        master = self.storage.upload(b"master", "jpg")
        slaves = [self.storage.upload_slave(master, f"_{i}", content(50, i), "jpg") for i in range(3)]
        self.storage.delete(master)
        for file_id in (master, *slaves):
            self.assert_refused(ENOENT, self.storage.download, file_id)

    def test_an_appender_has_slaves_too(self):
        master = self.storage.upload_appender(b"master", "log")
        slave = self.storage.upload_slave(master, "_s", b"slave", "log")
        self.storage.append(master, content(100000))
        self.assertEqual(self.storage.download(slave), b"slave")
        self.assert_refused(EINVAL, self.storage.append, slave, b"x")

    def test_slaves_that_cannot_be(self):
        master = self.storage.upload(b"master", "jpg")
        slave = self.storage.upload_slave(master, "_s", b"slave", "jpg")
        self.assert_refused(EINVAL, self.storage.upload_slave, master, "", b"x", "jpg")
        self.assert_refused(EINVAL, self.storage.upload_slave, master, "a/b", b"x", "jpg")
        self.assert_refused(EINVAL, self.storage.upload_slave, slave, "_t", b"x", "jpg")
        self.assert_refused(ENOENT, self.storage.download, master.replace(".jpg", "_other.jpg"))
        self.storage.delete(master)
        self.assert_refused(ENOENT, self.storage.upload_slave, master, "_s", b"x", "jpg")

    def test_a_master_has_so_many_slaves_and_no_more(self):
        master = self.storage.upload(b"master", "jpg")
        made = 0
        with self.assertRaises(fdfs.Refused) as caught:
            while made < 100:
                self.storage.upload_slave(master, f"_{made:03}", content(10, made), "jpg")
                made += 1
        self.assertEqual(caught.exception.status, EFBIG)
        self.assertGreaterEqual(made, 15)
        for i in range(made):
            self.assertEqual(self.storage.download(master.replace(".jpg", f"_{i:03}.jpg")), content(10, i))


class HostileTest(FastdfsTest):
    def test_a_name_of_fastdfs_that_nobody_imported_is_not_found(self):
        other = f"{GROUP}/M00/00/00/fwAAUmsDsdyAUAdeAAAAHm7i4hc444.txt"
        for call in (self.storage.delete, self.storage.download, self.storage.metadata, self.storage.info):
            self.assert_refused(ENOENT, call, other)

    def test_names_that_are_none_are_refused(self):
        names = ["", "x", "M00/00/00/", "M00/00/00/../../../../etc/passwd", "../" * 20 + "etc/passwd", "M00/00/00/" + "A" * 34,
                 "M00/00/00/" + "A" * 43, "M00/00/00/" + "\0" * 34, "M00/00/00/" + "/" * 34, "data/00/00/" + "A" * 34,
                 "%2e%2e/" * 6]
        for name in names:
            for command in (fdfs.DELETE, fdfs.GET_META, fdfs.QUERY):
                self.assert_refused(EINVAL, self.storage.ask, command, padded(GROUP, 16) + name.encode())
            self.assert_refused(EINVAL, self.storage.ask, fdfs.DOWNLOAD, bytes(16) + padded(GROUP, 16) + name.encode())
            self.assert_refused(EINVAL, self.storage.append, f"{GROUP}/{name}", b"x")
            self.assert_refused(EINVAL, self.storage.truncate, f"{GROUP}/{name}", 0)
        self.storage.ping()

    def test_damaged_names_find_nothing(self):
        file_id = self.storage.upload(content(5000), "bin")
        source = random.Random(7)
        for _ in range(200):
            at = source.randrange(len(GROUP) + 1, len(file_id))
            damaged = file_id[:at] + source.choice("AZaz09-_/.") + file_id[at + 1:]
            if damaged == file_id:
                continue
            with self.assertRaises(fdfs.Refused) as caught:
                self.storage.download(damaged)
            self.assertIn(caught.exception.status, (ENOENT, EINVAL))

    def test_pipelined_requests_are_answered_in_order(self):
        files = {self.storage.upload(content(size, 3), "bin"): content(size, 3) for size in (10, 5000, 300000)}
        for file_id in files:
            self.storage.send(fdfs.DOWNLOAD, bytes(16) + self.storage.of_file(file_id))
            self.storage.send(fdfs.PING)
        for data in files.values():
            self.assertEqual(self.storage.receive(), (0, data))
            self.assertEqual(self.storage.receive(), (0, b""))

    def test_uploads_are_pipelined_too(self):
        for size in SIZES[:6]:
            self.storage.send(fdfs.UPLOAD, struct.pack(">Bq", 0, size) + padded("bin", 6) + content(size))
        for size in SIZES[:6]:
            status, body = self.storage.receive()
            self.assertEqual(status, 0)
            self.assertEqual(self.connect().download(f"{GROUP}/{body[16:].decode()}"), content(size))

    def test_requests_in_single_bytes_are_understood(self):
        data = content(300)
        body = struct.pack(">Bq", 0, len(data)) + padded("bin", 6) + data
        for byte in fdfs.HEADER.pack(len(body), fdfs.UPLOAD, 0) + body:
            self.storage.socket.sendall(bytes([byte]))
        status, body = self.storage.receive()
        self.assertEqual((status, self.storage.download(f"{GROUP}/{body[16:].decode()}")), (0, data))

    def test_lengths_that_cannot_be_are_answered_and_the_connection_closed(self):
        for length, command in ((-1, fdfs.PING), (-2 ** 63, fdfs.UPLOAD), (2 ** 63 - 1, fdfs.PING),
                                (2 ** 62, fdfs.DELETE), (2 ** 40, fdfs.STORE)):
            connection = self.connect()
            connection.send(command, b"", length=length)
            if command != fdfs.DELETE:
                self.assertEqual(connection.receive(), (EINVAL, b""))
                self.assertTrue(connection.is_closed())
        self.storage.ping()

    def test_a_body_shorter_than_its_command_is_answered_and_the_connection_stays(self):
        for command in (fdfs.UPLOAD, fdfs.APPENDER, fdfs.SLAVE, fdfs.APPEND, fdfs.MODIFY, fdfs.TRUNCATE, fdfs.DELETE,
                        fdfs.SET_META, fdfs.GET_META, fdfs.DOWNLOAD, fdfs.QUERY, fdfs.REGENERATE):
            for size in (0, 1, 8, 15):
                if command in (fdfs.UPLOAD, fdfs.APPENDER) and size == 15:
                    continue
                self.assert_refused(EINVAL, self.storage.ask, command, bytes(size))
        self.storage.ping()

    def test_sizes_that_disagree_are_refused(self):
        for told, sent in ((10, 9), (10, 11), (0, 1), (2 ** 62, 5)):
            self.assert_refused(EINVAL, self.storage.ask, fdfs.UPLOAD,
                                struct.pack(">Bq", 0, told) + padded("bin", 6) + content(sent))
        name = split_id(self.storage.upload_appender(b"abc"))[1].encode()
        for length in (0, 43, 128, 2 ** 40, -1):
            self.assert_refused(EINVAL, self.storage.ask, fdfs.APPEND, struct.pack(">qq", length, 1) + name + b"x")
        self.storage.ping()

    def test_commands_between_storages_and_unknown_ones_are_refused(self):
        for command in (16, 17, 18, 19, 25, 26, 35, 37, 40, 9, 27, 33, 0, 50, 99, 100, 101, 200, 255):
            self.assert_refused(EINVAL, self.storage.ask, command)
        self.storage.ping()

    def test_an_upload_that_is_broken_off_leaves_nothing(self):
        before = len(self.cairn("ls").splitlines())
        for size in (100, 5000, 300000):
            connection = self.connect()
            connection.send(fdfs.UPLOAD, struct.pack(">Bq", 0, size) + padded("bin", 6) + content(size)[:-1], length=15 + size)
            connection.close()
        self.storage.upload(b"later", "txt")
        self.assertEqual(len(self.cairn("ls").splitlines()), before + 1)

    def test_a_refused_upload_is_read_to_its_end(self):
        master = self.storage.upload(b"master", "jpg")
        self.storage.upload_slave(master, "_s", b"slave", "jpg")
        self.assert_refused(EEXIST, self.storage.upload_slave, master, "_s", content(3000000), "jpg")
        self.storage.ping()

    def test_garbage_ends_connections_and_nothing_else(self):
        source = random.Random(11)
        for _ in range(100):
            connection = self.connect()
            try:
                connection.socket.sendall(source.randbytes(source.randrange(1, 400)))
                connection.socket.settimeout(0.01)
                connection.socket.recv(1000)
            except OSError:
                pass
            connection.close()
        for _ in range(100):
            connection = self.connect()
            connection.socket.settimeout(0.01)
            body = source.randbytes(source.randrange(0, 100))
            try:
                connection.send(source.choice((11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 34, 36, 38)), body)
                connection.socket.recv(1000)
            except OSError:
                pass
            connection.close()
        self.storage.ping()
        self.assertEqual(self.connect().download(self.storage.upload(b"still here")), b"still here")

    def test_quit_closes(self):
        self.storage.send(fdfs.QUIT)
        self.assertTrue(self.storage.is_closed())
        self.tracker.send(fdfs.QUIT)
        self.assertTrue(self.tracker.is_closed())


class RestartTest(ClusterTest):
    flags = ["--fastdfs", "--loops", "2"]

    def setUp(self):
        super().setUp()
        self.kept = Server(os.path.join(self.dir, "kept"), *self.flags)
        self.addCleanup(self.kept.kill)

    def open(self):
        return Storage(self.kept.ready["fastdfs"], GROUP)

    def fill(self):
        storage = self.open()
        files = {}
        for size in SIZES:
            master = storage.upload(content(size), "jpg")
            storage.set_metadata(master, {"size": str(size)})
            slave = storage.upload_slave(master, "_s", content(size, 2), "png")
            appender = storage.upload_appender(content(size, 3), "log")
            storage.append(appender, b"tail")
            files[master] = content(size)
            files[slave] = content(size, 2)
            files[appender] = content(size, 3) + b"tail"
        storage.close()
        return files

    def check(self, files):
        storage = self.open()
        digests = {file_id: hashlib.sha256(storage.download(file_id)).digest() for file_id in files}
        self.assertEqual(digests, {file_id: hashlib.sha256(data).digest() for file_id, data in files.items()})
        for file_id, data in files.items():
            if file_id.endswith(".jpg"):
                self.assertEqual(storage.metadata(file_id), {"size": str(len(data))})
        storage.close()

    def test_what_was_acknowledged_is_there_after_a_stop(self):
        files = self.fill()
        self.assertEqual(self.kept.stop(), 0)
        self.kept.start()
        self.check(files)
        self.assertEqual(self.kept.stop(), 0)

    def test_what_was_acknowledged_is_there_after_a_kill(self):
        files = self.fill()
        self.kept.kill()
        self.kept.start()
        self.check(files)

    def test_the_doors_are_closed_unless_they_are_asked_for(self):
        plain = Server(os.path.join(self.dir, "plain"))
        self.addCleanup(plain.kill)
        self.assertNotIn("fastdfs", plain.ready)
        self.assertNotIn("fastdfs_tracker", plain.ready)

    def test_files_of_two_loops_are_reached_over_one_connection(self):
        storage = self.open()
        others = [self.open() for _ in range(6)]
        ids = [other.upload_appender(content(50, i), "log") for i, other in enumerate(others * 4)]
        for i, file_id in enumerate(ids):
            storage.append(file_id, b"more")
            self.assertEqual(storage.download(file_id), content(50, i % 24) + b"more")
        for connection in (storage, *others):
            connection.close()


if __name__ == "__main__":
    unittest.main()
