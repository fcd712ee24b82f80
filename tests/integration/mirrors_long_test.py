"""What a storage holds does not grow with what it has replicated: descriptors, mappings and memory of every storage after
a million replicated files are those after ten thousand, under ulimit -n 128. Minutes: CAIRN_LONG=1."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from cluster import CAIRN
from group import Group, enter_namespace

FEW, MANY = 10_000, 1_000_000
MIB = 1 << 20


@unittest.skipUnless(os.environ.get("CAIRN_LONG"), "takes minutes: CAIRN_LONG=1")
class MirrorsLongTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="cairn-mirrors-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def store(self, group, count):
        out = subprocess.run([CAIRN, "bench", "--tracker", group.tracker_address, "--sizes", "1K", "--clients", "16",
            "--ack", "local", "--keep", "--puts-only", "--json", "-q", "--seconds", "1h", "--count", str(count)],
            capture_output=True, check=True)
        self.assertEqual(json.loads(out.stdout.splitlines()[0])["operations"], count)
        group.wait_until(lambda: all(mirror["lag_records"] == 0 for storage in group.storages
            for mirror in storage.status()["mirrors"]), 600, "all mirrors are level")

    def look(self, group):
        return {s.name: (s.descriptor_count(), s.mapping_count(), s.resident()) for s in group.storages}

    def test_nothing_grows_with_what_was_replicated(self):
        with Group(self.root, 3, ["--loops", "1", "--streams", "1"], descriptors=128) as group:
            self.store(group, FEW)
            before = self.look(group)
            self.store(group, MANY - FEW)
            after = self.look(group)
            print("(descriptors, mappings, bytes)", before, after)
            for name, (descriptors, mappings, resident) in after.items():
                # chunk files are a cache of descriptors with a fixed size, which may not have been full before
                self.assertLessEqual(descriptors, 128, name)
                self.assertLessEqual(abs(mappings - before[name][1]), 4, name)
                self.assertLess(resident - before[name][2], 16 * MIB, name)
            code, out, err = group.cairn("check", timeout=600)
            self.assertEqual(code, 0, out + err)


if __name__ == "__main__":
    enter_namespace()
    unittest.main()
