"""`cairn import fastdfs`: stores that a generator makes from the fact sheet keep their ids at every door."""

import http.client
import json
import os
import random
import struct
import unittest
import zlib

import fastdfs_client as fdfs
from cluster import OK, NOT_FOUND, PARTIAL, USAGE, ClusterTest
from fastdfs_client import EEXIST, EINVAL, ENOENT, Storage, Tracker, decode_name
from fastdfs_store import Store

GROUP = "g1"


class ImportTest(ClusterTest):
    flags = ["--fastdfs", "--loops", "2"]

    def setUp(self):
        super().setUp()
        self.storage = Storage(self.server.ready["fastdfs"], GROUP)
        self.addCleanup(self.storage.close)
        self.store = Store(self.path("fdfs"), GROUP, seed=random.Random(self.id()).randrange(1 << 30))

    def run_import(self, *flags, code=OK, manifest="manifest"):
        words = ["--manifest", self.path(manifest)] if manifest else []
        lines = self.cairn("import", "fastdfs", *self.store.roots, "--group", GROUP, *words, "--json", *flags, code=code)
        *files, summary = [json.loads(line) for line in lines.splitlines()]
        return files, summary

    def http(self, file_id, method="GET", headers=None):
        host, port = self.server.ready["http"].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        self.addCleanup(connection.close)
        connection.request(method, "/" + file_id, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def assert_served(self, file_id, data):
        self.assertEqual(self.storage.download(file_id), data, file_id)
        self.assertEqual(self.http(file_id), (200, data), file_id)

    def assert_refused(self, status, call, *arguments):
        with self.assertRaises(fdfs.Refused) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.status, status)


class WholeStoreTest(ImportTest):
    def test_every_old_id_is_served_at_every_door(self):
        self.store.fill()
        files, summary = self.run_import()
        self.assertEqual((summary["files"], summary["failed"], summary["names"]), (len(self.store.files), 0, len(files)))
        self.assertEqual(len(files), len(self.store.files))
        for file_id, data in self.store.files.items():
            self.assert_served(file_id, data)
        for file_id in random.Random(1).sample(sorted(self.store.files), 8):
            self.assertEqual(self.get(file_id), self.store.files[file_id])
        for file in files:
            self.assertEqual(self.http(file["id"])[0], 200)

    def test_a_tracker_locates_old_ids(self):
        file_id = self.store.flat(b"where", "txt")
        self.run_import()
        with Tracker(self.server.ready["fastdfs_tracker"]) as tracker:
            self.assertEqual(tracker.fetch(file_id), self.server.ready["fastdfs"])
            self.assertEqual(tracker.update(file_id), self.server.ready["fastdfs"])

    def test_metadata_comes_along(self):
        self.store.fill(30)
        self.run_import()
        self.assertGreater(len(self.store.metadata), 5)
        for file_id, pairs in self.store.metadata.items():
            self.assertEqual(self.storage.metadata(file_id), pairs)

    def test_file_info_tells_what_the_id_tells(self):
        flat, small = self.store.flat(b"information", "txt"), self.store.small(b"small information", "txt")
        appender = self.store.appender(b"begun", b" and gone on")
        self.run_import()
        for file_id in (flat, small):
            told, info = decode_name(file_id), self.storage.info(file_id)
            self.assertEqual((info["size"], info["crc"], info["time"], info["ip"]),
                             (told["size"], told["crc"], told["time"], told["source"]))
        self.assertEqual(self.storage.info(appender)["crc"], zlib.crc32(b"begun and gone on"))

    def test_restarts_keep_the_names(self):
        self.store.fill(20)
        self.run_import()
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.storage = Storage(self.server.ready["fastdfs"], GROUP)
        self.addCleanup(self.storage.close)
        for file_id, data in self.store.files.items():
            self.assert_served(file_id, data)
        self.server.kill()
        self.server.start()
        self.storage = Storage(self.server.ready["fastdfs"], GROUP)
        self.addCleanup(self.storage.close)
        for file_id, data in self.store.files.items():
            self.assert_served(file_id, data)


class LifeTest(ImportTest):
    """What was imported is a file like all others."""

    def test_it_is_deleted_by_its_old_id(self):
        flat, small = self.store.flat(b"flat", "txt"), self.store.small(b"small", "txt")
        self.run_import()
        self.storage.delete(flat)
        self.cairn("rm", small)
        for file_id in (flat, small):
            self.assert_refused(ENOENT, self.storage.download, file_id)
            self.assertEqual(self.http(file_id)[0], 404)
            self.get(file_id, code=NOT_FOUND)
        self.assert_refused(ENOENT, self.storage.delete, flat)

    def test_appenders_go_on(self):
        appender = self.store.appender(b"begun", b", imported")
        self.run_import()
        self.storage.append(appender, b", appended")
        self.storage.modify(appender, 0, b"BEGUN")
        self.assert_served(appender, b"BEGUN, imported, appended")
        self.storage.truncate(appender, 5)
        self.assert_served(appender, b"BEGUN")
        self.cairn("modify", appender, self.write("new", b"n" * 200_000))
        self.assert_served(appender, b"n" * 200_000)

    def test_other_files_never_change(self):
        flat = self.store.flat(b"fixed", "txt")
        self.run_import()
        self.assert_refused(EINVAL, self.storage.append, flat, b"more")
        self.assert_served(flat, b"fixed")

    def test_slaves_are_stored_found_and_deleted(self):
        flat, small = self.store.flat(b"master", "jpg"), self.store.small(b"small master", "jpg")
        old = self.store.slave(flat, "_old", b"old slave", "png")
        self.run_import()
        for master in (flat, small):
            slave = self.storage.upload_slave(master, "_new", b"new slave", "png")
            self.assertEqual(slave, master.removesuffix(".jpg") + "_new.png")
            self.assertEqual(self.storage.download(slave), b"new slave")
            self.assert_refused(EEXIST, self.storage.upload_slave, master, "_new", b"again", "png")
            self.storage.delete(slave)
            self.assert_refused(ENOENT, self.storage.download, slave)
            self.assertEqual(self.storage.upload_slave(master, "_new", b"once more", "png"), slave)
            self.assertEqual(self.storage.download(slave), b"once more")
        self.assert_refused(EEXIST, self.storage.upload_slave, flat, "_old", b"again", "png")
        self.assert_served(old, b"old slave")

    def test_metadata_is_replaced_and_merged(self):
        flat = self.store.flat(b"described", "txt")
        self.store.set_metadata(flat, {"a": "1", "b": "2"})
        self.run_import()
        self.storage.set_metadata(flat, {"b": "3"}, b"M")
        self.assertEqual(self.storage.metadata(flat), {"a": "1", "b": "3"})

    def test_names_that_were_never_imported_are_not_found(self):
        flat, small = self.store.flat(b"there", "txt"), self.store.small(b"there too", "txt")
        self.run_import()
        other = Store(self.path("other"), GROUP, seed=7)
        stranger = other.flat(b"not there", "txt")
        for file_id in (stranger, other.small(b"nor this", "txt"), flat[:-7] + "1234567", small[:-7] + "7654321",
                        other.slave(flat, "_no", b"", "png")):
            self.assert_refused(ENOENT, self.storage.download, file_id)
            self.assertEqual(self.http(file_id)[0], 404)

    def test_a_trunk_files_name_is_known_by_its_place(self):
        """Source and random bits stand nowhere in a trunk file: they are not compared."""
        small = self.store.small(b"by its place", "txt")
        self.run_import()
        place, name = small.rsplit("/", 1)
        other = Store(self.path("other"), GROUP, source=77)
        other.time = decode_name(small)["time"]
        other.random.randrange = lambda limit: 0
        core = other.core(len(b"by its place"), zlib.crc32(b"by its place"), 1 << 59)
        self.assertNotEqual(core, name[:27])
        self.assertEqual(self.storage.download(f"{place}/{core}{name[27:]}"), b"by its place")


class DamageTest(ImportTest):
    def test_what_is_damaged_is_named_file_by_file_and_the_rest_is_imported(self):
        self.store.fill(40)
        flat = self.store.flat(b"flat content", "jpg")
        cut = self.store.flat(b"will be cut", "jpg")
        small = self.store.small(b"small content", "txt")
        self.store.small(b"behind it", "txt")
        self.store.damage(flat)
        self.store.damage(small, 3)
        with open(self.store.on_disk[cut], "r+b") as file:
            file.truncate(4)
        self.store.files.pop(cut)
        _, summary = self.run_import("--dry-run", code=PARTIAL, manifest=None)
        self.assertEqual((summary["files"], summary["failed"]), (len(self.store.files), 3))
        self.assert_refused(ENOENT, self.storage.download, next(iter(self.store.files)))
        _, summary = self.run_import(code=PARTIAL)
        self.assertEqual((summary["files"], summary["failed"]), (len(self.store.files), 3))
        self.assertIn(flat + ": damaged", self.talk)
        self.assertIn(self.store.on_disk[cut] + ": has 4 bytes, its name tells of 11", self.talk)
        self.assertIn(small[-23:] + ": damaged", self.talk)
        for file_id in (flat, cut, small):
            self.assert_refused(ENOENT, self.storage.download, file_id)
        for file_id, data in self.store.files.items():
            self.assert_served(file_id, data)

    def test_a_damaged_slot_hides_no_other(self):
        ids = [self.store.small(random.Random(i).randbytes(500), "txt") for i in range(6)]
        path, at = self.store.on_disk[ids[2]]
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(b"\xff" * 24)
        self.store.files.pop(ids[2])
        _, summary = self.run_import(code=PARTIAL)
        self.assertEqual((summary["files"], summary["failed"]), (5, 1))
        self.assertIn(f"{path}: offset {at}: 768 bytes are no slot", self.talk)
        for file_id, data in self.store.files.items():
            self.assert_served(file_id, data)

    def test_deleted_slots_and_files_of_others_are_left_out(self):
        first, second = self.store.small(b"first", "txt"), self.store.small(b"second", "txt")
        self.store.forget(first)
        self.store.write(0, "00/00/notes.txt", b"of the operator")
        _, summary = self.run_import()
        self.assertEqual((summary["files"], summary["failed"]), (1, 0))
        self.assertIn("notes.txt: no name of FastDFS", self.talk)
        self.assert_refused(ENOENT, self.storage.download, first)
        self.assert_served(second, b"second")

    def test_metadata_that_does_not_fit_is_named_and_its_file_imported(self):
        flat = self.store.flat(b"described", "txt")
        path = self.store.set_metadata(flat, {f"name{i}": "v" * 200 for i in range(5)})
        _, summary = self.run_import(code=PARTIAL)
        self.assertEqual((summary["files"], summary["failed"]), (1, 1))
        self.assertIn(path + ": more than 900 bytes of metadata", self.talk)
        self.assert_served(flat, b"described")

    def test_what_cannot_be_read_is_named(self):
        flat = self.store.flat(b"there", "txt")
        self.store.roots.append(self.path("nothing"))
        self.run_import(code=PARTIAL)
        self.assertIn("nothing/data", self.talk)
        self.assert_served(flat, b"there")

    def test_wrong_words_are_refused(self):
        for words in (["import"], ["import", "other", "x"], ["import", "fastdfs"], ["import", "fastdfs", "x"],
                      ["import", "fastdfs", "x", "--group", "g1"], ["import", "fastdfs", "x", "--group", "a/b", "-n"]):
            self.cairn(*words, code=USAGE)


class RepeatTest(ImportTest):
    def test_the_same_again_stores_nothing(self):
        self.store.fill(20)
        self.run_import()
        files, summary = self.run_import()
        self.assertEqual((files, summary["files"], summary["known"]), ([], 0, len(self.store.files)))

    def test_what_is_new_and_appenders_that_changed_are_brought(self):
        self.store.fill(20)
        appender = self.store.appender(b"first", b"", "log")
        self.run_import()
        new, small = self.store.flat(b"new", "jpg"), self.store.small(b"new and small", "txt")
        with open(self.store.on_disk[appender], "ab") as file:
            file.write(b" and second")
        self.store.files[appender] += b" and second"
        files, summary = self.run_import()
        self.assertEqual((summary["files"], summary["changed"], summary["names"]), (3, 1, 3))
        for file_id in (new, small, appender):
            self.assert_served(file_id, self.store.files[file_id])

    def test_an_interrupted_import_goes_on(self):
        """The manifest as it is when the command was killed in the middle of a line, before the map."""
        self.store.fill(30)
        self.run_import()
        with open(self.path("manifest"), "rb") as file:
            lines = file.read().splitlines(keepends=True)
        with open(self.path("cut"), "wb") as file:
            file.write(b"".join(lines[:10]) + lines[10][:20])
        _, summary = self.run_import(manifest="cut")
        self.assertEqual((summary["known"], summary["files"]), (9, len(self.store.files) - 9))
        for file_id, data in self.store.files.items():
            self.assert_served(file_id, data)


if __name__ == "__main__":
    unittest.main()
