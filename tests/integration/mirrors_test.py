"""Mirrors as real processes: a tracker and three storages under a mixed load, while each storage in turn is killed, cut
off, and loses its disk. In the end every storage holds every file that was acknowledged, equal in every byte."""

import json
import os
import random
import shutil
import tempfile
import threading
import time
import unittest

from group import Group, enter_namespace, has_namespaces
from native_client import APPEND, ONE, REPLACE, WRITE, Closed, Connection, Refused

OPERATIONS = int(os.environ.get("CAIRN_MIRROR_OPERATIONS", "10000"))
WORKERS = 4
SMALL = ["--chunk-size", "16MiB", "--log-segment-size", "4MiB", "--log-segments", "8", "--checkpoint-bytes", "8MiB",
    "--streams", "2", "--loops", "1", "--slack", "20%"]
SIZES = (0, 1, 100, 4000, 4096, 20_000, 70_000, 200_000, 300_000)
PASSING = (OSError, Closed)


class File:
    """What may be seen of one file: exactly `content` once all is healed, or, where an answer was lost, one of `open`.
    None is: gone."""

    def __init__(self, content, version):
        self.content, self.version, self.open = content, version, []
        self.is_deleted = False

    def candidates(self):
        return [None] if self.is_deleted else [self.content, *self.open]


class Worker(threading.Thread):
    """Mixed operations on files of its own, each at whichever storage answers."""

    def __init__(self, group, seed, count, go_on):
        super().__init__()
        self.group, self.random, self.count, self.go_on = group, random.Random(seed), count, go_on
        self.files, self.connections = {}, {}
        self.done = self.refused = 0
        self.failure = None

    def run(self):
        try:
            while self.done < self.count or self.go_on():
                self.step()
                self.done += 1
        except BaseException as error:  # told by the main thread
            self.failure = error
        for connection in self.connections.values():
            connection.close()

    def connection(self, storage):
        if storage.number not in self.connections:
            self.connections[storage.number] = Connection(storage.address, timeout=10)
        return self.connections[storage.number]

    def drop(self, storage):
        connection = self.connections.pop(storage.number, None)
        if connection:
            connection.close()

    def content(self):
        return self.random.randbytes(self.random.choice(SIZES) + self.random.randrange(50))

    def step(self):
        storage = self.random.choice(self.group.storages)
        verb = self.random.choices(("upload", "find", "modify", "delete"), (40, 35, 18, 7))[0]
        try:
            getattr(self, verb)(self.connection(storage))
        except Refused:
            self.refused += 1
        except PASSING:
            self.refused += 1
            self.drop(storage)
            self.random.random()

    def upload(self, connection):
        content = self.content()
        fields = connection.upload(content, ack=ONE)
        if fields["ack"] >= ONE:
            self.files[fields["id"]] = File(content, fields["version"])

    def some_file(self):
        alive = [name for name, file in self.files.items() if not file.is_deleted]
        return self.random.choice(alive) if alive else None

    def find(self, connection):
        name = self.some_file()
        if name is None:
            return
        file = self.files[name]
        try:
            content = connection.find(name)
        except Refused as refusal:
            # a mirror that lags says so, or has an older version; it never says that the file is not there
            assert refusal.name != "CORRUPT", (name, refusal)
            assert refusal.name != "NOT_FOUND" or None in file.candidates(), (name, refusal)
            raise
        file_seen = getattr(file, "seen", None)
        known = [*file.candidates(), *getattr(file, "before", [])]
        assert content in known, (name, len(content), [len(c or b"") for c in known], file_seen)

    def modify(self, connection):
        name = self.some_file()
        if name is None:
            return
        file = self.files[name]
        if file.open:
            return  # what it is now nobody knows
        mode = self.random.choice((REPLACE, WRITE, APPEND))
        piece = self.random.randbytes(1 + self.random.randrange(5000))
        if mode == REPLACE:
            wanted, offset = self.content(), 0
            piece = wanted
        elif mode == APPEND:
            wanted, offset = file.content + piece, 0
        else:
            offset = self.random.randrange(len(file.content) + 1)
            wanted = file.content[:offset] + piece + file.content[offset + len(piece):]
        try:
            fields = connection.call("modify", piece, id=name, nonce=os.urandom(16), ack=ONE, mode=mode, offset=offset,
                size_known=1, size=len(piece), if_version=file.version).fields
        except Refused as refusal:
            if refusal.name in ("OUTCOME_UNKNOWN", "TIMEOUT", "UNAVAILABLE"):
                file.open.append(wanted)
            raise
        except PASSING:
            file.open.append(wanted)
            raise
        file.before = [*getattr(file, "before", []), file.content][-5:]
        if fields["ack"] >= ONE:
            file.content, file.version = wanted, fields["version"]
        else:
            file.open.append(wanted)

    def delete(self, connection):
        name = self.some_file()
        if name is None:
            return
        file = self.files[name]
        try:
            fields = connection.call("delete", id=name, nonce=os.urandom(16), ack=ONE).fields
        except Refused as refusal:
            if refusal.name in ("OUTCOME_UNKNOWN", "TIMEOUT"):
                file.open.append(None)
            raise
        except PASSING:
            file.open.append(None)
            raise
        if fields["ack"] >= ONE:
            file.is_deleted = True
        else:
            file.open.append(None)


class MirrorsTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="cairn-mirrors-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def wait_equal(self, group, seconds=120):
        """`cairn check` says that all mirrors are equal."""
        said = [None]

        def is_equal():
            said[0] = group.cairn("check")
            return said[0][0] == 0
        try:
            group.wait_until(is_equal, seconds, "cairn check finds the mirrors equal")
        except AssertionError as error:
            raise AssertionError(f"{said[0]}\n{error}")

    def compare(self, group, files):
        """Ask each storage alone for every file."""
        views = []
        for storage in group.storages:
            with storage.connect() as connection:
                view = {}
                requests = (("find", b"", dict(id=name, local_only=1)) for name in files)
                names = list(files)
                for position, reply in connection.pipeline(requests, depth=8):
                    if reply.name == "error":
                        self.assertEqual(reply.fields["code"], 3, (storage.name, names[position], reply.fields))
                        view[names[position]] = None
                    else:
                        view[names[position]] = reply.data
                views.append(view)
        for name, file in files.items():
            seen = [view[name] for view in views]
            self.assertTrue(all(content == seen[0] for content in seen),
                (name, [None if content is None else len(content) for content in seen]))
            self.assertIn(seen[0], file.candidates(), (name, seen[0] is None))

    def test_ten_thousand_operations_while_storages_die_are_cut_off_and_lose_disks(self):
        with Group(self.root, 3, SMALL) as group:
            is_faulting = threading.Event()
            is_faulting.set()
            workers = [Worker(group, seed, OPERATIONS // WORKERS, is_faulting.is_set) for seed in range(WORKERS)]
            for worker in workers:
                worker.start()
            try:
                for storage in group.storages:
                    self.hurt(group, storage)
            finally:
                is_faulting.clear()
            for worker in workers:
                worker.join()
            for worker in workers:
                if worker.failure:
                    raise worker.failure
            group.wait_running(120)
            self.wait_equal(group)
            code, out, err = group.cairn("check", "--deep", timeout=300)
            self.assertEqual(code, 0, out + err)
            files = {name: file for worker in workers for name, file in worker.files.items()}
            print(f"namespaces={has_namespaces()} operations={sum(w.done for w in workers)} "
                f"refused={sum(w.refused for w in workers)} files={len(files)} "
                f"deleted={sum(f.is_deleted for f in files.values())} open={sum(bool(f.open) for f in files.values())}")
            self.assertGreater(len(files), OPERATIONS // 10)
            self.compare(group, files)
            for storage in group.storages:
                self.assertEqual(storage.stop(), 0, storage.tail())

    def hurt(self, group, storage):
        """Killed and started, cut off and healed, emptied and rebuilt, one after the other."""
        time.sleep(1)
        storage.kill()
        time.sleep(1)
        storage.start()
        group.wait_running(120)
        storage.cut()
        time.sleep(3)
        storage.heal()
        group.wait_running(120)
        storage.kill()
        storage.empty()
        storage.start(must_be_ready=False)  # its number is claimed for another minute
        group.wait_running(240)

    def test_a_mirror_serves_what_another_storage_stored(self):
        with Group(self.root, 2, SMALL) as group:
            contents = {}
            with group.storages[0].connect() as connection:
                for size in SIZES:
                    content = random.Random(size).randbytes(size)
                    contents[connection.upload(content, ack=ONE)["id"]] = content
            with group.storages[1].connect() as connection:
                for name, content in contents.items():
                    self.assertEqual(connection.find(name, local_only=1), content)

    def test_get_asks_one_storage_only_when_it_is_told_to(self):
        with Group(self.root, 2, SMALL) as group:
            path = os.path.join(self.root, "x")
            with open(path, "wb") as file:
                file.write(b"hello")
            code, out, err = group.cairn("put", path, "--ack", "all")
            self.assertEqual(code, 0, err)
            name = out.split("\t")[0]
            for storage in group.storages:
                self.assertEqual(group.cairn("get", name, "--storage", storage.name)[:2], (0, "hello"))

    def test_a_group_of_two_goes_on_when_one_dies_and_is_equal_when_it_is_back(self):
        with Group(self.root, 2, SMALL) as group:
            first, second = group.storages
            second.kill()
            with first.connect() as connection:
                names = [connection.upload(b"%d" % i)["id"] for i in range(200)]
                for name in names[:50]:
                    connection.call("delete", id=name, nonce=os.urandom(16), ack=2)
            second.start()
            group.wait_running()
            self.wait_equal(group)
            with second.connect() as connection:
                for i, name in enumerate(names):
                    if i < 50:
                        with self.assertRaises(Refused):
                            connection.find(name, local_only=1)
                    else:
                        self.assertEqual(connection.find(name, local_only=1), b"%d" % i)


if __name__ == "__main__":
    enter_namespace()
    unittest.main()
