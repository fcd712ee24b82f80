"""`cairn res`: what the nodes of a running group hold, beside what the kernel says that they hold."""

import json
import os
import shutil
import signal
import socket
import tempfile
import unittest

from cluster import FAILED, NOT_FOUND, OK, USAGE
from drill import memory_directory
from group import Group, enter_namespace


class Sight(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="cairn-sight-", dir=memory_directory())  # a disk of others may be full
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.group = Group(cls.root, 2)
        cls.group.__enter__()
        cls.addClassCleanup(cls.group.close)

    def cairn(self, *words, code=OK):
        result = self.group.cairn(*words)
        self.assertEqual(result[0], code, result)
        self.talk = result[2]
        return result[1]

    def rows(self, *words):
        return [json.loads(line) for line in self.cairn("res", *words, "--json").splitlines()]

    def test_every_node_holds_the_descriptors_that_the_kernel_says(self):
        rows = self.rows("fd", "--all")
        self.assertEqual({row["node"] for row in rows}, {"tracker", "m001", "m002"})
        for storage in self.group.storages:
            held = sum(row["count"] for row in rows if row["node"] == storage.name)
            kernel = len(os.listdir(f"/proc/{storage.process.pid}/fd"))
            inherited = sum(1 for fd in os.listdir("/proc/self/fd")
                if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(int(fd)))
            # standard streams, what was inherited, and a connection or two that come and go
            self.assertLessEqual(abs(kernel - held - 3), inherited + 3, f"{storage.name}: {held} of {kernel}")

    def test_rows_name_place_owner_direction_and_peer(self):
        rows = self.rows("m001")
        send = [row for row in rows if row["direction"] == "sync-send" and row["kind"] == "fd" and row["peer"] == 2]
        recv = [row for row in rows if row["direction"] == "sync-recv" and row["kind"] == "fd" and row["peer"] == 2]
        self.assertTrue(send and recv, rows)
        self.assertTrue(all(row["site"].startswith("src/") and ":" in row["site"] for row in rows), rows)
        self.assertEqual({row["class"] for row in send}, {"connection"})
        self.assertEqual({row["node"] for row in rows}, {"m001"})
        kinds = {row["kind"] for row in rows}
        self.assertLessEqual({"fd", "map", "mem", "conn", "op", "slot", "timer"}, kinds)

    def test_rows_are_put_together_by_a_column(self):
        single = self.rows("mem", "m002")
        for column in ("site", "owner", "direction", "peer", "class"):
            rows = self.rows("mem", "m002", "--by", column)
            self.assertEqual(sum(r["count"] for r in rows), sum(r["count"] for r in single), column)
            self.assertEqual(sum(r["bytes"] for r in rows), sum(r["bytes"] for r in single), column)
        self.assertEqual(len(self.rows("mem", "m002", "--by", "class")), 1)

    def test_young_and_old_are_told_apart(self):
        self.assertEqual(self.rows("fd", "m001", "--older", "1h"), [])
        self.assertTrue(self.rows("fd", "m001", "--older", "10ms"))

    def test_what_was_acquired_since_is_the_difference(self):
        saved = os.path.join(self.root, "before")
        self.rows("conn", "m001", "--save", saved)
        host, port = self.group.storages[0].address.rsplit(":", 1)
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            for client in (one, two, three):
                client.connect((host, int(port)))
            def difference():
                rows = self.rows("conn", "m001", "--diff", saved)
                return [row for row in rows if row["direction"] == "client" and row["count"] == 3]
            self.group.wait_until(difference, 10, "three connections more")
        self.assertIn("conn", self.cairn("res", "conn", "m001"))

    def test_a_saved_file_that_is_none_is_refused(self):
        path = os.path.join(self.root, "none")
        with open(path, "w") as file:
            file.write("{}")
        self.cairn("res", "conn", "m001", "--diff", path, code=USAGE)

    def test_unknown_nodes_and_columns_are_refused(self):
        self.cairn("res", "m077", code=NOT_FOUND)
        self.cairn("res", "--by", "colour", code=USAGE)
        self.cairn("res", "m001", "--all", code=USAGE)

    def test_a_healthy_group_is_healthy(self):
        self.group.wait_running()
        def is_healthy():
            code, text, _ = self.group.cairn("doctor")
            return code == OK and text == "healthy: nothing was found at 3 nodes\n"
        self.group.wait_until(is_healthy, 60, "the doctor finds nothing: " + self.group.cairn("doctor")[1])
        answer = json.loads(self.cairn("doctor", "--json"))
        self.assertEqual(answer, {"healthy": True, "nodes": ["tracker", "m001", "m002"], "findings": [],
            "findings_left_off": 0})

    def test_who_is_gone_is_found_first(self):
        storage = self.group.storages[1]
        storage.cut()
        try:
            def is_found():
                code, text, _ = self.group.cairn("doctor", "--json", "--timeout", "1s", "--retries", "0")
                codes = {finding["code"] for finding in json.loads(text)["findings"]}
                return code == FAILED and {"STORAGE_DEAD", "GROUP_DEGRADED"} <= codes
            self.group.wait_until(is_found, 30, "the dead storage is found")
            code, text, _ = self.group.cairn("doctor")
            self.assertEqual(code, FAILED)
            self.assertIn("1  STORAGE_DEAD  cluster\n", text)
        finally:
            storage.heal()
            self.group.wait_running()

    def test_a_report_is_written_on_demand_and_everything_goes_on(self):
        storage = self.group.storages[0]
        os.kill(storage.process.pid, signal.SIGUSR1)
        self.group.wait_until(lambda: "events, newest last" in storage.tail(60000), 10, "the report in the log")
        self.assertIn(" storage m001 process ", storage.tail(60000))
        self.assertEqual(storage.state(), "running")

    def test_a_report_is_fetched_from_every_node(self):
        text = self.cairn("doctor", "--dump")
        for who in (" tracker ", " storage m001 ", " storage m002 "):
            self.assertIn(who, text)
        self.assertRegex(text, r"  \d+ fd at src/net/client.c:\d+ start_connect op=net-client direction=sync-send peer=m002")
        self.assertRegex(text, r"  -\d+\.\d{3}ms push-batch \w+ direction=sync-send peer=m002")

    def test_who_crashes_says_what_it_knew(self):
        storage = self.group.storages[1]
        os.kill(storage.process.pid, signal.SIGSEGV)
        self.assertEqual(storage.end(signal.SIGCONT), -signal.SIGSEGV)
        try:
            report = storage.tail(60000)
            report = report[report.index("cairn: fatal signal 11"):]
            for part in ("limits: files ", "loop 0 holds (most): fd ", "loop 1 holds (most): fd ", "held by place",
                    "  2 fd at src/io/uring.c", "events, newest last"):
                self.assertIn(part, report)
        finally:
            storage.start()
            self.group.wait_running()

    def test_the_kernel_has_nothing_that_the_ledgers_lack(self):
        for storage in self.group.storages:
            def compared():
                answer = json.loads(self.cairn("status", "--server", storage.address, "--what", "res", "--json"))
                return answer["kernel"] if answer["kernel"]["comparisons"] >= 4 else None
            self.group.wait_until(compared, 30, "four comparisons")
            kernel = compared()
            for count in ("fds_unknown", "fds_missing", "maps_unknown", "maps_missing"):
                self.assertEqual(kernel[count], 0, kernel)
            self.assertGreaterEqual(kernel["fd_highest"], kernel["fds"] // 2)


if __name__ == "__main__":
    enter_namespace()
    unittest.main()
