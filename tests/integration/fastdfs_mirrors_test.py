"""Files of the FastDFS door on mirrors: what one storage stored is served, changed and deleted at the other one."""

import os
import random
import shutil
import signal
import tempfile
import unittest
import zlib

import fastdfs_client as fdfs
from fastdfs_client import ENOENT, Tracker
from fastdfs_store import Store
from group import Group, free_port

SMALL = ["--chunk-size", "16MiB", "--log-segment-size", "4MiB", "--log-segments", "8", "--checkpoint-bytes", "8MiB",
    "--streams", "2", "--loops", "1", "--ack", "all"]
SIZES = (0, 1, 100, 4096, 20_000, 70_000, 200_000, 300_000)


def content(size, seed=1):
    return random.Random(size * 1000 + seed).randbytes(size)


class MirrorsTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="cairn-fastdfs-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.group = Group(self.root, 2, SMALL)
        host = self.group.tracker_address.rsplit(":", 1)[0]
        self.tracker_address = f"{host}:{free_port(host)}"
        self.group.tracker.words += ["--fastdfs-listen", self.tracker_address]
        for storage in self.group.storages:
            storage.fastdfs = f"{storage.host}:{free_port(storage.host)}"
            storage.words += ["--fastdfs-listen", storage.fastdfs]
        self.addCleanup(self.group.close)
        self.group.__enter__()
        self.first, self.second = (self.connect(storage.fastdfs) for storage in self.group.storages)
        self.group.wait_until(self.knows_mirrors, 30, "the storages know each other")

    def connect(self, address):
        storage = fdfs.Storage(address, "g1")
        self.addCleanup(storage.close)
        return storage

    def knows_mirrors(self):
        """Until then, "ack all" is more than a storage can promise."""
        try:
            self.second.delete(self.first.upload(b"known"))
            self.first.delete(self.second.upload(b"known"))
            return True
        except fdfs.Refused as error:
            self.assertEqual(error.status, fdfs.EAGAIN)
            return False

    def tracker(self):
        tracker = Tracker(self.tracker_address)
        self.addCleanup(tracker.close)
        return tracker

    def assert_gone(self, storage, file_id):
        with self.assertRaises(fdfs.Refused) as caught:
            storage.download(file_id)
        self.assertEqual(caught.exception.status, ENOENT)

    def fill(self):
        files = {}
        for size in SIZES:
            master = self.first.upload(content(size), "jpg")
            self.first.set_metadata(master, {"size": str(size), "note": "n" * 250})
            self.first.set_metadata(master, {"more": "m" * 250}, b"M")
            slave = self.first.upload_slave(master, "_s", content(size, 2), "png")
            appender = self.first.upload_appender(content(size, 3), "log")
            self.first.append(appender, b"tail")
            self.first.set_metadata(appender, {"kind": "log"})
            files[master], files[slave], files[appender] = content(size), content(size, 2), content(size, 3) + b"tail"
        return files

    def check(self, storage, files):
        for file_id, data in files.items():
            self.assertEqual(storage.download(file_id), data, file_id)
            self.assertEqual(storage.info(file_id)["crc"], zlib.crc32(data), file_id)
            if file_id.endswith(".jpg"):
                self.assertEqual(storage.metadata(file_id),
                    {"more": "m" * 250, "note": "n" * 250, "size": str(len(data))}, file_id)

    def test_everything_is_served_and_changed_at_the_other_storage(self):
        files = self.fill()
        self.check(self.second, files)
        for file_id in list(files):
            if file_id.endswith(".log"):
                self.second.append(file_id, b"more")
                files[file_id] += b"more"
                self.second.set_metadata(file_id, {"by": "second"}, b"M")
                self.assertEqual(self.first.metadata(file_id), {"by": "second", "kind": "log"})
            if file_id.endswith(".jpg"):
                slave = self.second.upload_slave(file_id, "_t", b"another", "png")
                files[slave] = b"another"
        for storage in (self.first, self.second):
            self.check(storage, files)
        for file_id in list(files):
            if file_id.endswith("_s.png"):
                self.second.delete(file_id)
                for storage in (self.first, self.second):
                    self.assert_gone(storage, file_id)
                del files[file_id]
        for storage in (self.first, self.second):
            self.check(storage, files)

    def test_a_regenerated_name_is_known_to_mirrors(self):
        files = {}
        for size in SIZES:
            appender = self.first.upload_appender(content(size), "log")
            body = self.second.regenerate(appender)
            files[f"g1/{body[16:].decode()}"] = content(size)
            for storage in (self.first, self.second):
                self.assert_gone(storage, appender)
        for storage in (self.first, self.second):
            for file_id, data in files.items():
                self.assertEqual(storage.download(file_id), data)
        code, out, talk = self.group.cairn("check", "--deep", timeout=120)
        self.assertEqual(code, 0, out + talk)

    def test_trackers_name_the_storage_that_is_there(self):
        files = self.fill()
        some = next(iter(files))
        addresses = {storage.fastdfs for storage in self.group.storages}
        tracker = self.tracker()
        self.assertEqual(set(tracker.store_all("g1")[1]), addresses)
        self.assertEqual(set(tracker.fetch_all(some)), addresses)
        self.assertEqual({tracker.fetch(some) for _ in range(4)}, addresses)
        self.assertEqual({tracker.update(some) for _ in range(4)}, {self.group.storages[0].fastdfs})
        self.assertEqual([s["status"] for s in tracker.list_storages("g1")], [7, 7])
        self.group.storages[0].end(signal.SIGTERM)
        self.group.wait_until(lambda: tracker.update(some) == self.group.storages[1].fastdfs, 20, "the mirror is named")
        self.assertEqual(sorted(s["status"] for s in tracker.list_storages("g1")), [5, 7])
        self.check(self.connect(tracker.fetch(some)), files)

    def import_store(self, store, ack):
        words = ["import", "fastdfs", *store.roots, "--group", "g1", "--manifest", os.path.join(self.root, "manifest")]
        code, _, talk = self.group.cairn(*words, "--ack", ack, "--quiet")
        self.assertEqual(code, 0, talk)

    def serves_all(self, storage, files):
        try:
            return all(storage.download(file_id) == data for file_id, data in files.items())
        except fdfs.Refused:
            return False

    def test_imported_files_keep_their_ids_at_every_mirror(self):
        store = Store(os.path.join(self.root, "fdfs"), "g1")
        store.fill(30)
        self.import_store(store, "all")
        for storage in (self.first, self.second):
            self.group.wait_until(lambda: self.serves_all(storage, store.files), 10, "old ids are served")
        appender = next(file_id for file_id in store.files if file_id.endswith(".log"))
        self.second.append(appender, b"more")
        gone = store.flat(b"came while the second was away", "txt")
        self.group.storages[1].end(signal.SIGTERM)
        self.import_store(store, "local")
        store.files[appender] += b"more"
        self.group.storages[1].start()
        self.group.wait_running()
        second = self.connect(self.group.storages[1].fastdfs)
        self.group.wait_until(lambda: self.serves_all(second, store.files), 10, "the one that was away knows them all")
        second.delete(gone)
        self.assert_gone(self.first, gone)
        code, out, talk = self.group.cairn("check", "--deep", timeout=120)
        self.assertEqual(code, 0, out + talk)


if __name__ == "__main__":
    unittest.main()
