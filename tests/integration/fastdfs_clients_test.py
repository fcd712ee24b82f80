"""FastDFS clients of others, unmodified, against `cairn up --fastdfs`: from the npm registry and from PyPI, as pinned in
tests/third_party/fastdfs. Skipped where npm or pip cannot reach a registry."""

import os
import shutil
import struct
import subprocess
import sys
import unittest

from cluster import ClusterTest
from fastdfs_capture import Proxy, check

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENTS = os.path.join(HERE, "../third_party/fastdfs")
INSTALL_SECONDS = 120
ROUND_SECONDS = 100


class ClientsTest(ClusterTest):
    flags = ["--fastdfs"]

    def install(self, what, *command, **more):
        """Skip where that fails: no tool, or no registry."""
        if not shutil.which(command[0]):
            self.skipTest(f"{command[0]} is not installed")
        try:
            result = subprocess.run(command, capture_output=True, timeout=INSTALL_SECONDS, check=False, **more)
        except subprocess.TimeoutExpired:
            self.skipTest(f"{what}: the registry does not answer")
        if result.returncode != 0:
            self.skipTest(f"{what} cannot be installed: {result.stderr.decode(errors='replace')[-300:]}")

    def round(self, *command, **environment):
        """Lines of what worked; the round must end well."""
        result = subprocess.run(command, capture_output=True, timeout=ROUND_SECONDS, check=False,
                                env={**os.environ, **environment})
        talk = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, 0, f"{result.stdout.decode()}\n{talk}")
        return result.stdout.decode().splitlines()

    def setUp(self):
        super().setUp()
        port = int(self.server.ready["fastdfs"].rsplit(":", 1)[1])
        self.to_storage = Proxy(self.server.ready["fastdfs"])
        self.addCleanup(self.to_storage.close)
        self.to_tracker = Proxy(self.server.ready["fastdfs_tracker"], (port, self.to_storage.port))
        self.addCleanup(self.to_tracker.close)

    def tracker(self):
        return self.to_tracker.address.rsplit(":", 1)

    def assert_by_the_sheet(self, commands):
        """All that was said, of both sides, agrees with the fact sheet; these commands were answered well."""
        seen = [each for proxy in (self.to_tracker, self.to_storage) for talk in proxy.talks for each in check(talk)]
        self.assertLessEqual(commands, {command for command, status in seen if status == 0})


class SheetTest(unittest.TestCase):
    NAME = b"M00/00/00/fwAAUmsDsdyAUAdeAAAAbui4hZc444.txt"
    GROUP = b"group1" + bytes(10)

    @staticmethod
    def frame(command, body, status=0):
        return struct.pack(">qBB", len(body), command, status) + body

    def test_what_agrees_with_the_sheet_passes_and_nothing_else(self):
        ask = self.frame(12, self.GROUP + self.NAME)
        self.assertEqual(check([ask, self.frame(100, b"")]), [(12, 0)])
        self.assertEqual(check([ask, self.frame(100, b"", 2)]), [(12, 2)])
        wrong = [(ask, self.frame(100, b"x")), (ask, self.frame(101, b"")), (ask, b""), (ask[:-1], b""),
                 (self.frame(12, self.GROUP[:-1] + self.NAME), self.frame(100, b"")),
                 (self.frame(11, struct.pack(">Bq6s", 0, 4, b"txt") + b"abc"), self.frame(100, self.GROUP + self.NAME)),
                 (self.frame(11, struct.pack(">Bq6s", 0, 3, b"txt") + b"abc"), self.frame(100, self.NAME)),
                 (self.frame(22, self.GROUP + self.NAME), self.frame(100, bytes(41))),
                 (self.frame(101, b""), self.frame(100, self.GROUP + bytes(24))),
                 (ask, self.frame(100, b"") * 2)]
        for talk in wrong:
            with self.assertRaises((AssertionError, IndexError, ValueError, StopIteration, OSError)):
                check(talk)


class NpmTest(ClientsTest):
    def setUp(self):
        super().setUp()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(CLIENTS, name), self.dir)
        self.install("npm's clients", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=self.dir)

    def serve(self, client):
        return self.round("node", os.path.join(CLIENTS, "round.js"), client, *self.tracker(), self.dir,
                          NODE_PATH=self.path("node_modules"))

    def test_fdfs_does_all_it_offers(self):
        self.assertEqual(len(self.serve("fdfs")), 10)
        self.assert_by_the_sheet({11, 12, 13, 14, 15, 22, 23, 24, 34, 101, 102, 103})

    def test_fdfs_client_does_all_it_offers(self):
        self.assertEqual(len(self.serve("fdfs-client")), 8)
        self.assert_by_the_sheet({11, 12, 13, 14, 15, 22, 101, 102, 103})


class PythonTest(ClientsTest):
    flags = ["--fastdfs", "--fastdfs-wide"]

    def test_fastdfs_client_does_what_it_can(self):
        target = self.path("packages")
        self.install("PyPI's client", sys.executable, "-m", "pip", "install", "--quiet", "--target", target, "-r",
                     os.path.join(CLIENTS, "requirements.txt"))
        done = self.round(sys.executable, os.path.join(CLIENTS, "round.py"), *self.tracker(), self.dir,
                          PYTHONPATH=target)
        self.assertEqual(len(done), 4)
        self.assert_by_the_sheet({11, 12, 14, 102})


if __name__ == "__main__":
    unittest.main()
