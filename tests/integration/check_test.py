"""`cairn check` in a running cluster: storages compare themselves and say so; bits that rotted are found by --deep and
repaired from a mirror; what no mirror can repair is exit code 7."""

import glob
import json
import os
import shutil
import tempfile
import unittest

from cluster import OK
from group import Group, enter_namespace

SMALL = ["--chunk-size", "4MiB", "--log-segment-size", "2MiB", "--log-segments", "8", "--checkpoint-bytes", "4MiB",
    "--streams", "1", "--loops", "1", "--member-wait", "2s"]
CORRUPT = 7


class Check(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="cairn-check-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def group(self, count, flags=()):
        group = Group(self.root, count, [*SMALL, *flags])
        self.addCleanup(group.close)
        return group

    def put(self, group, count):
        ids = {}
        for number in range(count):
            path = os.path.join(self.root, f"file{number}")
            content = os.urandom(100 + number * 9000)
            with open(path, "wb") as file:
                file.write(content)
            code, out, err = group.cairn("put", path)
            self.assertEqual(code, OK, err)
            ids[out.split("\t")[0]] = content
        return ids

    def check(self, group, *words):
        code, out, err = group.cairn("check", "--json", *words, timeout=120)
        return code, [json.loads(line) for line in out.splitlines()], err

    def assert_all_there(self, storage, ids):
        with storage.connect() as connection:
            for id, content in ids.items():
                self.assertEqual(connection.find(id), content)

    def test_equal_storages_say_how_much_they_compared(self):
        with self.group(2) as group:
            self.put(group, 6)
            code, lines, err = self.check(group)
            self.assertEqual(code, OK, err)
            self.assertEqual({line["machine"] for line in lines}, {1, 2})
            for line in lines[-2:]:
                self.assertEqual((line["members"], line["remaining"], line["failed"]), (1, 0, 0))
                self.assertGreater(line["units"], 0)
            code, out, err = group.cairn("check")
            self.assertEqual(code, OK, err)
            self.assertIn("compared with 1 mirrors: equal", out)

    def test_rot_is_found_by_a_deep_check_and_repaired(self):
        with self.group(2) as group:
            ids = self.put(group, 8)
            self.assertEqual(self.check(group)[0], OK)
            storage = group.storages[0]
            storage.stop()
            flipped = 0
            for path in glob.glob(os.path.join(storage.data, "singles", "*", "*")):
                with open(path, "r+b") as file:
                    file.seek(10_000)
                    byte = file.read(1)
                    file.seek(10_000)
                    file.write(bytes([byte[0] ^ 4]))
                flipped += 1
            for path in glob.glob(os.path.join(storage.data, "chunks", "*")):
                with open(path, "r+b") as file:
                    file.seek(4096 + 128 + 40)
                    byte = file.read(1)
                    file.seek(4096 + 128 + 40)
                    file.write(bytes([byte[0] ^ 4]))
            storage.start()
            group.wait_running()
            code, lines, err = self.check(group, "--deep")
            self.assertEqual(code, OK, (err, lines))
            first = [line for line in lines if line["machine"] == 1]
            self.assertGreaterEqual(sum(line["damaged"] for line in first), flipped)
            self.assertEqual(first[-1]["damaged"], first[-1]["healed"])
            code, lines, err = self.check(group, "--deep")
            self.assertEqual([line["damaged"] for line in lines], [0, 0], err)
            self.assert_all_there(storage, ids)

    def test_damage_that_no_mirror_can_repair_is_exit_code_7(self):
        with self.group(1) as group:
            self.put(group, 3)
            storage = group.storages[0]
            storage.stop()
            path = glob.glob(os.path.join(storage.data, "chunks", "*"))[0]
            with open(path, "r+b") as file:
                file.seek(4096 + 128 + 40)
                file.write(b"xxxx")
            storage.start()
            group.wait_running()
            self.assertEqual(self.check(group)[0], OK)
            self.assertEqual(self.check(group, "--deep")[0], CORRUPT)


if __name__ == "__main__":
    enter_namespace()
    unittest.main()
