"""A server with few descriptors and very many clients; and one whose descriptors have very large numbers."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import unittest

import native_client as native
from cluster import OK
from drill import MIB, OwnServerTest, content_of

DESCRIPTORS = 128
CLIENTS = 500

# Everything below `floor` is taken, so that whatever the server opens has a larger number.
TAKE = """
import os, resource, sys
floor, limit = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
null = os.open("/dev/null", os.O_RDONLY)
for number in range(3, floor):
    os.dup2(null, number, inheritable=True)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def may_have(limit):
    """Is the hard limit as high, or may it be raised?"""
    script = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


class Crowd(OwnServerTest):
    in_memory = True

    def rows(self):
        """{(kind, site): count}, without what this question itself holds"""
        rows = {}
        for row in self.cairn_json("res"):
            if row["kind"] in ("fd", "conn", "slot", "space", "map", "mem"):
                key = (row["kind"], row["site"])
                rows[key] = rows.get(key, 0) + row["count"]
        return rows

    def wait_for_rows(self, wanted, slack, seconds=60):
        end = time.monotonic() + seconds
        while True:
            rows = self.rows()
            apart = {key: (wanted.get(key, 0), rows.get(key, 0)) for key in wanted.keys() | rows.keys()
                if abs(wanted.get(key, 0) - rows.get(key, 0)) > slack}
            if not apart:
                return
            self.assertLess(time.monotonic(), end, apart)
            time.sleep(0.5)

    def come(self, index, file_id, clients):
        """One of three kinds: says nothing, asks for a large file and does not read, talks in order."""
        if index % 3 == 0:
            host, port = self.server.storage.rsplit(":", 1)
            clients.enter_context(socket.create_connection((host, int(port)), timeout=10))
            return "silent"
        try:
            connection = clients.enter_context(native.Connection(self.server.storage, timeout=10))
            if index % 3 == 1:
                connection.socket.sendall(native.encode_request("find", 77, id=file_id))
                return "slow"
            connection.stat(file_id)
            return "served"
        except native.Refused as refusal:
            self.assertEqual(refusal.name, "BUSY")
            return "busy"
        except (native.Closed, OSError):
            return "closed"

    def test_500_clients_under_a_limit_of_128_are_shed_and_all_is_given_back(self):
        self.server = self.start_server(prefix=["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh"])
        small, large = self.put(b"small"), self.put(os.urandom(8 * MIB))
        self.assertEqual(self.get(small), b"small")
        before, highest, how = self.rows(), 0, {}
        with contextlib.ExitStack() as clients:
            for index in range(CLIENTS):
                outcome = self.come(index, large, clients)
                how[outcome] = how.get(outcome, 0) + 1
                if index % 25 == 0:
                    highest = max(highest, self.server.descriptor_count())
                self.assertTrue(self.server.is_alive())
        print(f"{how}; {highest} of {DESCRIPTORS} descriptors")
        self.assertLess(highest, DESCRIPTORS)
        self.assertGreater(how.get("busy", 0) + how.get("closed", 0), 0, how)
        self.assertEqual(self.get(small), b"small")
        self.wait_for_rows(before, slack=2)
        log = self.server.log_text()
        self.assertNotIn("check failed", log)

    def with_numbers_above(self, floor):
        limit = floor + 8192
        if not may_have(limit):
            self.skipTest(f"this process may not have {limit} descriptors")
        self.server = self.start_server("data", "--loops", "2",
            prefix=[sys.executable, "-c", TAKE, str(floor), str(limit)])
        ids = {self.put(content_of("high", size) if size < 5000 else os.urandom(size)): size
            for size in (0, 100, 4096, 300000, 3 * MIB)}
        for file_id, size in ids.items():
            self.assertEqual(len(self.get(file_id)), size)
        for file_id in ids:
            self.cairn("modify", file_id, "-", "--append", stdin=b"more")
            self.assertTrue(self.get(file_id).endswith(b"more"))
        with contextlib.ExitStack() as clients:  # many at a time
            connections = [clients.enter_context(self.server.connect()) for _ in range(100)]
            for connection in connections:
                self.assertEqual(connection.stat(next(iter(ids)))["size"], 4)
        answer = json.loads(self.cairn("status", "--server", self.server.storage, "--what", "res", "--json"))
        self.assertGreater(answer["fd_max"], floor)
        self.assertGreater(answer["kernel"]["fds"], floor - 3)
        self.assertEqual((answer["kernel"]["fds_unknown"], answer["kernel"]["fds_missing"]), (0, 0))
        for file_id in ids:
            self.cairn("rm", file_id)
        self.assertEqual(self.server.stop(), OK)

    def test_descriptor_numbers_above_1024(self):
        self.with_numbers_above(1100)

    def test_descriptor_numbers_above_11000(self):
        self.with_numbers_above(11000)

    def test_descriptor_numbers_above_65536(self):
        self.with_numbers_above(66000)


if __name__ == "__main__":
    unittest.main()
