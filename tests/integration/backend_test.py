"""Hosts that forbid io_uring: chosen by itself, said, and everything works; also the choice itself."""

import os
import subprocess
import sys
import unittest
from unittest import mock

from cluster import CAIRN, COMMAND_SECONDS, OK, USAGE
from drill import OwnServerTest, content_of
from group import Process, free_port

FORBID = [sys.executable, "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)), "without_uring.py")]


class Unforced(unittest.TestCase):
    """The environment chooses nothing here."""

    def setUp(self):
        patch = mock.patch.dict(os.environ)
        patch.start()
        self.addCleanup(patch.stop)
        os.environ.pop("CAIRN_IO_BACKEND", None)
        super().setUp()


class Forbidden(Unforced, OwnServerTest):
    """Servers and commands both run under the filter."""

    def command(self, *words, tracker=None):
        return [*FORBID, *super().command(*words, tracker=tracker)]

    def begin(self, *words):
        process = Process([*words, "--listen", self.address], self.path(words[0] + ".log"), FORBID)
        process.start()
        self.addCleanup(process.end, 9)
        return process

    def start(self):
        self.address = f"127.0.0.1:{free_port('127.0.0.1')}"
        self.tracker = self.begin("tracker")
        tracker, self.address = self.address, f"127.0.0.1:{free_port('127.0.0.1')}"
        self.storage = self.begin("storage", "--machine", "m001", "--group", "g1", "--mount", self.path("m001"),
            "--tracker", tracker, "--loops", "2")
        self.server = mock.Mock(tracker=tracker)

    def test_a_storage_starts_says_so_and_serves(self):
        os.makedirs(self.path("m001"))
        self.start()
        self.assertEqual(self.tracker.ready["io"], "epoll")
        self.assertEqual(self.storage.ready["io"], "epoll")
        self.assertRegex(self.storage.tail(), r"WARN io_backend .*name=epoll why=.*seccomp")
        contents = {name: content_of(name, size) for name, size in
            (("empty", 0), ("small", 100), ("packed", 60000), ("large", 3 << 20))}
        ids = {name: self.put_when_routed(content) for name, content in contents.items()}
        for name, content in contents.items():
            self.assertEqual(self.get(ids[name]), content, name)
        self.write("more", b"and more")
        self.cairn("modify", ids["large"], "more", "--offset", "70000")
        self.cairn("modify", ids["small"], "more", "--append")
        self.assertEqual(self.get(ids["small"]), contents["small"] + b"and more")
        self.cairn("rm", ids["packed"])
        self.cairn("get", ids["packed"], code=3)
        self.assertEqual(self.storage.end(15), OK)

        self.storage.start()  # what was acknowledged is there after a restart
        expected = contents["large"][:70000] + b"and more" + contents["large"][70008:]
        self.assertEqual(self.get_when_routed(ids["large"]), expected)
        self.assertEqual(self.storage.end(15), OK)
        self.assertEqual(self.tracker.end(15), OK)

    def put_when_routed(self, content):
        return self.when_routed(lambda: self.put(content))

    def get_when_routed(self, file_id):
        return self.when_routed(lambda: self.get(file_id))

    def when_routed(self, act):
        """A storage without a tracker of its own is ready before a tracker has heard of it."""
        for _ in range(200):
            try:
                return act()
            except AssertionError as failure:
                last = failure
        raise last

    def test_who_insists_on_io_uring_is_told_why_not(self):
        result = subprocess.run([*FORBID, CAIRN, "up", "--data", self.path("d"), "--port", "0", "--io-backend",
            "io_uring"], capture_output=True, timeout=COMMAND_SECONDS, text=True)
        self.assertNotIn(result.returncode, (OK, USAGE))
        self.assertIn("seccomp", result.stderr)
        self.assertEqual(result.stdout, "")


class Chosen(Unforced, OwnServerTest):
    def test_epoll_can_be_chosen_and_what_one_backend_wrote_the_other_reads(self):
        self.server = self.start_server("d", "--io-backend", "epoll")
        self.assertEqual(self.server.ready["io"], "epoll")
        self.assertRegex(self.server.log_text(), r"INFO io_backend .*name=epoll")
        content = content_of("one", 100000)
        one = self.put(content)
        self.server.stop()
        self.server = self.start_server("d", "--io-backend", "auto")
        self.assertEqual(self.get(one), content)

    def test_the_environment_chooses_too_and_a_flag_counts_more(self):
        os.environ["CAIRN_IO_BACKEND"] = "epoll"
        self.server = self.start_server("d")
        self.assertEqual(self.server.ready["io"], "epoll")
        self.assertEqual(self.get(self.put(b"x")), b"x")
        self.server.stop()
        os.environ["CAIRN_IO_BACKEND"] = "iouring"
        self.cairn("status", code=USAGE)
        self.assertIn("CAIRN_IO_BACKEND must be auto, io_uring or epoll", self.talk)


if __name__ == "__main__":
    unittest.main()
